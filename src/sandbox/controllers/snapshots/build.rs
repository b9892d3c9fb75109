//! Contents for new VolumeSnapshots.

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::CONTENT_PROTECTION;
use super::types::{
    ContentSource, GROUP, VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent,
    VolumeSnapshotContentSpec,
};

/// The name of the content made for a snapshot.
pub(super) fn content_name(snapshot: &VolumeSnapshot) -> String {
    format!("snapcontent-{}", snapshot.uid().unwrap_or_default())
}

/// Bytes as a quantity, in the largest unit that is exact.
pub(super) fn size(bytes: i64) -> Quantity {
    let units = [
        (1_i64 << 40, "Ti"),
        (1 << 30, "Gi"),
        (1 << 20, "Mi"),
        (1 << 10, "Ki"),
    ];
    let fits = units.iter().find(|(factor, _)| bytes > 0 && bytes % factor == 0);
    Quantity(fits.map_or_else(
        || bytes.to_string(),
        |(factor, unit)| format!("{}{unit}", bytes / factor),
    ))
}

/// The content of a new snapshot.
pub(super) fn new_content(
    snapshot: &VolumeSnapshot,
    class: &VolumeSnapshotClass,
    volume: &PersistentVolume,
) -> VolumeSnapshotContent {
    let spec = VolumeSnapshotContentSpec {
        deletion_policy: class.spec.deletion_policy.clone(),
        driver: class.spec.driver.clone(),
        source: ContentSource {
            snapshot_handle: None,
            volume_handle: volume.meta().name.clone(),
        },
        source_volume_mode: volume.spec.as_ref().and_then(|spec| spec.volume_mode.clone()),
        volume_snapshot_class_name: class.meta().name.clone(),
        volume_snapshot_ref: ObjectReference {
            api_version: Some(format!("{GROUP}/v1")),
            kind: Some("VolumeSnapshot".to_owned()),
            name: snapshot.meta().name.clone(),
            namespace: snapshot.meta().namespace.clone(),
            uid: snapshot.meta().uid.clone(),
            resource_version: snapshot.meta().resource_version.clone(),
            field_path: None,
        },
    };
    VolumeSnapshotContent {
        metadata: ObjectMeta {
            name: Some(content_name(snapshot)),
            finalizers: Some(vec![CONTENT_PROTECTION.to_owned()]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_the_largest_exact_unit() {
        assert_eq!(size(5 << 30).0, "5Gi");
        assert_eq!(size(1536 << 20).0, "1536Mi");
        assert_eq!(size(1000).0, "1000");
        assert_eq!(size(0).0, "0");
    }
}
