//! From a container of a pod to the description its first step understands: image, environment, identity, mounts
//! and the files of `/etc`.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Container, Endpoints, Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::address;
use super::cell::PodCell;
use super::env::{self, Sources};
use super::image::{self, Image};
use super::init::identity::capabilities;
use super::init::spec::{ContainerSpec, FsGroup, MountSpec, ProcessSpec};
use super::volumes::Mounted;

/// Directories of this computer that containers see, where they exist.
const HOST_DIRS: &[&str] = &[
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr",
    "/etc",
    "/opt",
    "/nix",
    "/gnu",
    "/snap",
    "/run/current-system",
];

/// Where a container writes its last words unless it says otherwise.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Why a container waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotReady {
    /// The waiting reason, as `kubectl get` shows it.
    pub(crate) reason: &'static str,
    /// One sentence.
    pub(crate) message: String,
}

impl NotReady {
    pub(crate) const PULL: &'static str = "ErrImagePull";
    pub(crate) const CONFIG: &'static str = "CreateContainerConfigError";

    fn config(message: String) -> Self {
        Self {
            reason: Self::CONFIG,
            message,
        }
    }
}

/// A container that can be started.
pub(crate) struct Prepared {
    pub(crate) spec: ContainerSpec,
    pub(crate) dir: PathBuf,
    /// The file that holds its last words.
    pub(crate) termination: PathBuf,
}

/// Prepares a container's next instance. Its directory is made anew.
pub(crate) async fn prepare(
    cell: &PodCell,
    container: &Container,
    volumes: &[Mounted],
    attempt: i32,
) -> Result<Prepared, NotReady> {
    let pod = cell.pod();
    let node = &cell.node;
    let image = image::find(&node.options.images, container.image.as_deref());
    let services = services(cell).await?;
    let sources = sources(cell, container, &services).await?;
    let mut variables = env::build(&pod, container, &sources, &node.options.node_name, &node.capacity)
        .map_err(NotReady::config)?;
    let lookup = |name: &str| variables.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
    let argv: Vec<String> = image::command(container, image)
        .iter()
        .map(|a| env::expand(a, &lookup))
        .collect();
    let mut mounts = mounts(container, volumes, image, &lookup).map_err(NotReady::config)?;
    let host_dirs: Vec<PathBuf> = HOST_DIRS
        .iter()
        .map(PathBuf::from)
        .filter(|d| d.exists())
        .collect();
    let mounted: Vec<PathBuf> = mounts.iter().map(|m| m.target.clone()).collect();
    let path = lookup("PATH").unwrap_or_default();
    if let Some(message) = image::why_missing(container, &argv, &path, &host_dirs, &mounted, &is_program) {
        return Err(NotReady {
            reason: NotReady::PULL,
            message,
        });
    }
    let mut process = identity(&pod, container, argv)?;
    process.tty = container.tty == Some(true);
    if process.tty && lookup("TERM").is_none() {
        variables.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    let host_name = pod
        .spec
        .as_ref()
        .and_then(|s| s.hostname.clone())
        .unwrap_or_else(|| cell.name.clone());
    let host_name: String = host_name.chars().take(63).collect();
    for (name, value) in [("HOME", home(process.uid)), ("HOSTNAME", host_name.clone())] {
        if !variables.iter().any(|(k, _)| k == name) {
            variables.push((name.to_owned(), value));
        }
    }
    process.env = variables;
    let dir = cell.instance_dir(&container.name, attempt);
    let failed = |e: std::io::Error| NotReady {
        reason: "CreateContainerError",
        message: format!("{}: {e}", dir.display()),
    };
    let termination = fresh_instance(cell, &dir).await.map_err(failed)?;
    mounts.push(MountSpec {
        source: termination.clone(),
        sub_path: None,
        target: PathBuf::from(
            container
                .termination_message_path
                .as_deref()
                .filter(|p| !p.is_empty())
                .unwrap_or(TERMINATION_LOG),
        ),
        read_only: false,
        memory: None,
    });
    let context = container.security_context.as_ref();
    let spec = ContainerSpec {
        rootfs: dir.join("rootfs"),
        hostname: host_name.clone(),
        user_namespace: node.launcher.ids.map(),
        host_dirs,
        mounts,
        files: etc_files(&pod, cell, &host_name, &services),
        fs_group: fs_group(cell, &pod, volumes),
        read_only_root: context.and_then(|c| c.read_only_root_filesystem) == Some(true),
        stdin: container.stdin == Some(true),
        input: None,
        process,
    };
    Ok(Prepared {
        spec,
        dir,
        termination,
    })
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// The writable layer and the termination log of a new instance; earlier instances' layers go.
async fn fresh_instance(cell: &PodCell, dir: &Path) -> std::io::Result<PathBuf> {
    if let Some(all) = dir.parent()
        && all.exists()
    {
        cell.node.launcher.remove_tree(all).await?;
    }
    let rootfs = dir.join("rootfs");
    fs::create_dir_all(&rootfs)?;
    let termination = dir.join("termination-log");
    fs::write(&termination, "")?;
    fs::set_permissions(&termination, Permissions::from_mode(0o666))?;
    Ok(termination)
}

/// A Service, and where its names lead: nothing translates its own address here.
struct Reachable {
    service: Service,
    /// The address of the first pod that is ready.
    address: String,
}

/// Services of all namespaces: their names go to `/etc/hosts`, those of the own namespace to the environment.
async fn services(cell: &PodCell) -> Result<Vec<Reachable>, NotReady> {
    let all = ListParams::default();
    let services: Api<Service> = Api::all(cell.node.client.clone());
    let endpoints: Api<Endpoints> = Api::all(cell.node.client.clone());
    let (services, endpoints) = futures::try_join!(services.list(&all), endpoints.list(&all))
        .map_err(|e| NotReady::config(format!("services: {e}")))?;
    let ready = |service: &Service| {
        let of = endpoints
            .iter()
            .find(|e| e.metadata.name == service.metadata.name && e.namespace() == service.namespace());
        let subsets = of.and_then(|e| e.subsets.as_ref()).into_iter().flatten();
        let mut addresses = subsets.flat_map(|s| s.addresses.iter().flatten());
        addresses.next().map(|a| a.ip.clone())
    };
    let reachable = services.items.into_iter().map(|service| Reachable {
        address: ready(&service).unwrap_or_else(|| address::HOST.to_owned()),
        service,
    });
    Ok(reachable.collect())
}

async fn sources(cell: &PodCell, container: &Container, services: &[Reachable]) -> Result<Sources, NotReady> {
    let (secret_names, map_names) = env::needs(container);
    let secrets_api: Api<Secret> = Api::namespaced(cell.node.client.clone(), &cell.namespace);
    let maps_api: Api<ConfigMap> = Api::namespaced(cell.node.client.clone(), &cell.namespace);
    let mut secrets = BTreeMap::new();
    for name in secret_names {
        let found = secrets_api
            .get_opt(&name)
            .await
            .map_err(|e| NotReady::config(e.to_string()))?;
        secrets.extend(found.map(|s| (name, s)));
    }
    let mut config_maps = BTreeMap::new();
    for name in map_names {
        let found = maps_api
            .get_opt(&name)
            .await
            .map_err(|e| NotReady::config(e.to_string()))?;
        config_maps.extend(found.map(|m| (name, m)));
    }
    let options = &cell.node.options;
    let mut variables = vec![
        ("KUBERNETES_SERVICE_HOST".to_owned(), options.api_host.clone()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), options.api_port.to_string()),
        (
            "KUBERNETES_SERVICE_PORT_HTTPS".to_owned(),
            options.api_port.to_string(),
        ),
    ];
    if cell.pod().spec.as_ref().and_then(|s| s.enable_service_links) != Some(false) {
        let own = services
            .iter()
            .filter(|s| s.service.namespace().as_deref() == Some(&cell.namespace));
        variables.extend(own.flat_map(service_variables));
    }
    Ok(Sources {
        secrets,
        config_maps,
        services: variables,
        image: Vec::new(),
    })
}

/// The variables of a Service lead to a pod, at the pod's own port.
fn service_variables(reachable: &Reachable) -> Vec<(String, String)> {
    let service = &reachable.service;
    let name = service.name_any().to_uppercase().replace('-', "_");
    let ports = service.spec.iter().flat_map(|s| s.ports.iter().flatten());
    let port = ports.map(|p| match &p.target_port {
        Some(IntOrString::Int(n)) => *n,
        _ => p.port,
    });
    let Some(port) = port.into_iter().next().filter(|_| name != "KUBERNETES") else {
        return Vec::new();
    };
    vec![
        (format!("{name}_SERVICE_HOST"), reachable.address.clone()),
        (format!("{name}_SERVICE_PORT"), port.to_string()),
    ]
}

/// Who the process is.
fn identity(pod: &Pod, container: &Container, argv: Vec<String>) -> Result<ProcessSpec, NotReady> {
    let of_pod = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
    let own = container.security_context.as_ref();
    let id = |value: Option<i64>| value.and_then(|v| u32::try_from(v).ok());
    let uid = id(own.and_then(|c| c.run_as_user)).or(id(of_pod.and_then(|c| c.run_as_user)));
    let gid = id(own.and_then(|c| c.run_as_group)).or(id(of_pod.and_then(|c| c.run_as_group)));
    let non_root = own
        .and_then(|c| c.run_as_non_root)
        .or(of_pod.and_then(|c| c.run_as_non_root));
    match uid {
        Some(0) if non_root == Some(true) => {
            return Err(NotReady::config(
                "container's runAsUser breaks non-root policy".to_owned(),
            ));
        }
        None if non_root == Some(true) => {
            return Err(NotReady::config(
                "container has runAsNonRoot and image will run as root".to_owned(),
            ));
        }
        _ => {}
    }
    let groups = of_pod
        .into_iter()
        .flat_map(|c| c.supplemental_groups.iter().flatten().chain(&c.fs_group));
    let caps = own.and_then(|c| c.capabilities.as_ref());
    let list = |l: Option<&Vec<String>>| l.cloned().unwrap_or_default();
    let privileged = own.and_then(|c| c.privileged) == Some(true);
    Ok(ProcessSpec {
        argv,
        env: Vec::new(),
        cwd: PathBuf::from(
            container
                .working_dir
                .as_deref()
                .filter(|d| !d.is_empty())
                .unwrap_or("/"),
        ),
        uid: uid.unwrap_or(0),
        gid: gid.unwrap_or(0),
        groups: groups.filter_map(|g| u32::try_from(*g).ok()).collect(),
        capabilities: capabilities(
            &list(caps.and_then(|c| c.add.as_ref())),
            &list(caps.and_then(|c| c.drop.as_ref())),
            privileged,
        ),
        tty: false,
    })
}

/// The home directory of a user, from this computer's accounts (containers see them).
fn home(uid: u32) -> String {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid))
            .then(|| fields.get(5).map(|h| (*h).to_owned()))
            .flatten()
    });
    found.unwrap_or_else(|| {
        if uid == 0 {
            "/root".to_owned()
        } else {
            "/".to_owned()
        }
    })
}

fn mounts(
    container: &Container,
    volumes: &[Mounted],
    image: Option<&Image>,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<MountSpec>, String> {
    if container.volume_devices.as_ref().is_some_and(|d| !d.is_empty()) {
        return Err("block volumes (volumeDevices) are not offered by the sandbox's node".to_owned());
    }
    let mut all = Vec::new();
    for file in image.iter().flat_map(|i| &i.files) {
        all.push(MountSpec {
            source: file.1.clone(),
            sub_path: None,
            target: file.0.clone(),
            read_only: true,
            memory: None,
        });
    }
    for m in container.volume_mounts.iter().flatten() {
        let volume = volumes.iter().find(|v| v.name == m.name);
        let volume =
            volume.ok_or_else(|| format!("volumeMount \"{}\" names no volume of the pod", m.name))?;
        let expanded = m
            .sub_path_expr
            .as_deref()
            .filter(|e| !e.is_empty())
            .map(|e| env::expand(e, lookup));
        all.push(MountSpec {
            source: volume.path.clone(),
            sub_path: m.sub_path.clone().or(expanded).filter(|p| !p.is_empty()),
            target: Path::new("/").join(&m.mount_path),
            read_only: m.read_only == Some(true) || volume.read_only,
            memory: volume.memory,
        });
    }
    Ok(all)
}

/// The names of the cluster, and the pod's own.
fn etc_files(pod: &Pod, cell: &PodCell, host_name: &str, services: &[Reachable]) -> Vec<(PathBuf, String)> {
    let mut hosts = String::from(
        "# Written by the sandbox.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    );
    hosts.push_str(
        "127.0.0.1\tkubernetes.default.svc kubernetes.default kubernetes.default.svc.cluster.local\n",
    );
    let subdomain = pod.spec.as_ref().and_then(|s| s.subdomain.as_deref());
    let full = subdomain.map(|d| {
        format!(
            "{host_name}.{d}.{}.svc.cluster.local {host_name}.{d}.{}.svc {host_name}.{d} ",
            cell.namespace, cell.namespace
        )
    });
    let own = address::of(pod);
    hosts.push_str(&format!("{own}\t{}{host_name}\n", full.unwrap_or_default()));
    for Reachable { service, address } in services {
        let (name, namespace) = (service.name_any(), service.namespace().unwrap_or_default());
        let short = if namespace == cell.namespace {
            format!(" {name}")
        } else {
            String::new()
        };
        hosts.push_str(&format!("{address}\t{name}.{namespace}.svc {name}.{namespace} {name}.{namespace}.svc.cluster.local{short}\n"));
    }
    for alias in pod.spec.iter().flat_map(|s| s.host_aliases.iter().flatten()) {
        hosts.push_str(&format!(
            "{}\t{}\n",
            alias.ip,
            alias.hostnames.clone().unwrap_or_default().join(" ")
        ));
    }
    vec![
        (PathBuf::from("/etc/hosts"), hosts),
        (PathBuf::from("/etc/hostname"), format!("{host_name}\n")),
    ]
}

/// Volumes are given to the group once per pod; afterwards only if their top directory is wrong.
fn fs_group(cell: &PodCell, pod: &Pod, volumes: &[Mounted]) -> Option<FsGroup> {
    let context = pod.spec.as_ref()?.security_context.as_ref()?;
    let gid = u32::try_from(context.fs_group?).ok()?;
    let again = std::mem::replace(&mut cell.state().group_given, true);
    let lazy = context.fs_group_change_policy.as_deref() == Some("OnRootMismatch");
    let volumes = volumes
        .iter()
        .filter_map(|v| Some((v.path.clone(), v.group_read_only?)))
        .collect();
    Some(FsGroup {
        gid,
        volumes,
        on_root_mismatch: again || lazy,
    })
}
