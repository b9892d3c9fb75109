//! What an image means here. Images given to the node bring their files from this computer; any other image is only
//! a name, and its container runs the program of this computer that its `command` names, if there is one. Pure apart
//! from asking whether a program exists.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;

/// An image made of files of this computer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// The reference that pods write.
    pub reference: String,
    /// Path in the container and the file on this computer.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// The command of containers that give none.
    pub entrypoint: Vec<String>,
}

/// The image of a container, if it is one of those the node was given.
pub(crate) fn find<'a>(images: &'a [Image], reference: Option<&str>) -> Option<&'a Image> {
    let short = |r: &'a str| r.strip_prefix("docker.io/").unwrap_or(r);
    let wanted = reference?;
    let wanted = wanted.strip_prefix("docker.io/").unwrap_or(wanted);
    images.iter().find(|i| short(&i.reference) == wanted)
}

/// The command line before expansion. The entrypoint of an image that is only a name is unknown; most images that are
/// run with arguments alone (`kubectl run IMAGE -- PROGRAM …`) have none, so the arguments are the command there.
pub(crate) fn command(container: &Container, image: Option<&Image>) -> Vec<String> {
    let given = container.command.clone().filter(|c| !c.is_empty());
    let mut argv = given.unwrap_or_else(|| image.map(|i| i.entrypoint.clone()).unwrap_or_default());
    if !argv.is_empty() || image.is_none() {
        argv.extend(container.args.iter().flatten().cloned());
    }
    argv
}

/// Why a container's image "cannot be pulled", if so. `exists` tells whether a path of this computer is a program.
pub(crate) fn why_missing(
    container: &Container,
    argv: &[String],
    path: &str,
    host_dirs: &[PathBuf],
    mounted: &[PathBuf],
    exists: &dyn Fn(&Path) -> bool,
) -> Option<String> {
    let image = container.image.as_deref().unwrap_or("");
    let start = format!(
        "image \"{image}\" cannot be pulled: the sandbox pulls nothing and runs programs of this computer"
    );
    let Some(program) = argv.first().filter(|p| !p.is_empty()) else {
        return Some(format!(
            "{start}, and container \"{}\" names no command to run",
            container.name
        ));
    };
    let brought = |p: &Path| mounted.iter().any(|m| p.starts_with(m));
    let shown = |p: &Path| host_dirs.iter().any(|d| p.starts_with(d)) && exists(p);
    let found = if program.starts_with('/') {
        brought(Path::new(program)) || shown(Path::new(program))
    } else if program.contains('/') {
        // Relative to the working directory: only the container can know.
        true
    } else {
        path.split(':')
            .map(|dir| Path::new(dir).join(program))
            .any(|p| brought(&p) || shown(&p))
    };
    (!found).then(|| format!("{start}, but \"{program}\" is not among them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(image: &str, command: &[&str], args: &[&str]) -> Container {
        let owned = |v: &[&str]| (!v.is_empty()).then(|| v.iter().map(|s| (*s).to_owned()).collect());
        Container {
            name: "c".into(),
            image: Some(image.into()),
            command: owned(command),
            args: owned(args),
            ..Container::default()
        }
    }

    fn why(command: &[&str], mounted: &[&str]) -> Option<String> {
        let c = container("some/image:1", command, &[]);
        let argv = super::command(&c, None);
        let mounted: Vec<PathBuf> = mounted.iter().map(PathBuf::from).collect();
        let exists = |p: &Path| p == Path::new("/usr/bin/sh") || p == Path::new("/home/me/tool");
        why_missing(
            &c,
            &argv,
            "/usr/bin:/bin",
            &["/usr".into(), "/bin".into()],
            &mounted,
            &exists,
        )
    }

    #[test]
    fn programs_are_looked_for_where_the_container_will_see_them() {
        assert_eq!(why(&["sh"], &[]), None);
        assert_eq!(why(&["/usr/bin/sh", "-c"], &[]), None);
        assert_eq!(why(&["/scripts/run"], &["/scripts"]), None);
        assert_eq!(why(&["./run"], &[]), None);
        assert!(
            why(&["/home/me/tool"], &[])
                .unwrap()
                .contains("\"/home/me/tool\" is not among them")
        );
        let text = why(&["mysqld"], &[]).unwrap();
        assert!(
            text.contains("some/image:1") && text.contains("\"mysqld\""),
            "{text}"
        );
        assert!(why(&[], &[]).unwrap().contains("names no command"));
    }

    #[test]
    fn a_given_image_brings_its_entrypoint() {
        let images = [Image {
            reference: "docker.io/a/b:1".into(),
            entrypoint: vec!["/b".into()],
            ..Image::default()
        }];
        let image = find(&images, Some("a/b:1"));
        assert!(image.is_some() && find(&images, Some("a/b:2")).is_none());
        assert_eq!(
            super::command(&container("a/b:1", &[], &["x"]), image),
            vec!["/b", "x"]
        );
        assert_eq!(
            super::command(&container("a/b:1", &["y"], &["x"]), image),
            vec!["y", "x"]
        );
        assert_eq!(
            super::command(&container("z", &[], &["x", "y"]), None),
            vec!["x", "y"]
        );
    }
}
