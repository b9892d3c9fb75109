//! What an image's name says of its version.

/// The tag of an image, without its digest.
pub(in crate::cli) fn tag(image: &str) -> Option<&str> {
    let name = image.split('@').next()?;
    let (before, tag) = name.rsplit_once(':')?;
    // A port of a registry is no tag.
    (!tag.contains('/') && !before.is_empty()).then_some(tag)
}
