//! The answer to "why": a chain of links from the object that was asked about to the one that is broken, one cause and
//! the ways to mend it.

/// How one object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// As it should be.
    Good,
    /// It could not be looked at.
    Unknown,
    /// It waits for something that comes by itself, or rests because somebody wants it to.
    Waiting,
    /// Not as it should be.
    Bad,
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for cluster-scoped ones.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl About {
    /// An object.
    #[must_use]
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        About {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// One object on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Which.
    pub about: About,
    /// How it is.
    pub health: Health,
    /// What is to be said of it.
    pub says: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How it is on the whole.
    pub health: Health,
    /// One sentence about the object itself.
    pub summary: String,
    /// What is wrong or awaited at the root; absent when all is well.
    pub cause: Option<String>,
    /// What to do about it, each a sentence with a command in backticks where there is one.
    pub fixes: Vec<String>,
    /// The objects on the way, the one that was asked about first.
    pub links: Vec<Link>,
}

/// A chain that grows link by link.
#[derive(Debug, Default)]
pub struct Chain {
    links: Vec<Link>,
    root: Option<(Health, String, Vec<String>)>,
}

impl Chain {
    /// A link that is as it should be.
    pub fn good(&mut self, about: About, says: impl Into<String>) {
        self.push(about, Health::Good, says);
    }

    /// A link that waits.
    pub fn waiting(&mut self, about: About, says: impl Into<String>) {
        self.push(about, Health::Waiting, says);
    }

    /// A link that is broken; why is told further down the chain.
    pub fn broken(&mut self, about: About, says: impl Into<String>) {
        self.push(about, Health::Bad, says);
    }

    /// A link that could not be looked at.
    pub fn unknown(&mut self, about: About, says: impl Into<String>) {
        self.push(about, Health::Unknown, says);
    }

    /// The broken link at the root: what is wrong with it and how it is mended. Of several the first counts.
    pub fn root(&mut self, about: About, says: &str, cause: impl Into<String>, fixes: Vec<String>) {
        self.push(about, Health::Bad, says);
        self.because(Health::Bad, cause, fixes);
    }

    /// Says why, about links that are there already. What is wrong counts more than what is awaited.
    pub fn because(&mut self, health: Health, cause: impl Into<String>, fixes: Vec<String>) {
        if self.root.as_ref().is_none_or(|(known, _, _)| *known < health) {
            self.root = Some((health, cause.into(), fixes));
        }
    }

    /// True once it is known what is wrong.
    #[must_use]
    pub fn explained(&self) -> bool {
        self.root
            .as_ref()
            .is_some_and(|(health, _, _)| *health == Health::Bad)
    }

    fn push(&mut self, about: About, health: Health, says: impl Into<String>) {
        if !self.links.iter().any(|link| link.about == about) {
            self.links.push(Link {
                about,
                health,
                says: says.into(),
            });
        }
    }

    /// The answer. A broken link that nobody explained is its own cause.
    #[must_use]
    pub fn answer(self) -> Answer {
        let worst = |wanted: Health| self.links.iter().rev().find(|link| link.health == wanted);
        let health = self
            .links
            .iter()
            .map(|link| link.health)
            .chain(self.root.iter().map(|root| root.0))
            .max()
            .unwrap_or(Health::Unknown);
        let fallback = || {
            let link = worst(health).filter(|_| health >= Health::Waiting)?;
            Some((
                format!("{} {} is {}", link.about.kind, link.about.name, link.says),
                vec![describe(&link.about)],
            ))
        };
        let told = self
            .root
            .clone()
            .filter(|(known, _, _)| *known == health)
            .map(|(_, cause, fixes)| (cause, fixes))
            .or_else(fallback);
        let (cause, fixes) = told.map_or((None, Vec::new()), |(cause, fixes)| (Some(cause), fixes));
        Answer {
            health,
            summary: self.links.first().map_or_else(String::new, |l| l.says.clone()),
            cause,
            fixes,
            links: self.links,
        }
    }
}

/// The command that shows an object with its conditions.
#[must_use]
pub fn describe(about: &About) -> String {
    let place = if about.namespace.is_empty() {
        String::new()
    } else {
        format!(" -n {}", about.namespace)
    };
    format!(
        "`kubectl describe {} {}{place}` shows its conditions and events",
        about.kind.to_lowercase(),
        about.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(name: &str) -> About {
        About::new("Pod", "demo", name)
    }

    #[test]
    fn the_first_root_is_the_cause_and_the_worst_link_the_verdict() {
        let mut chain = Chain::default();
        chain.broken(about("a"), "NotReady");
        chain.good(about("b"), "fine");
        chain.because(Health::Waiting, "something is awaited", Vec::new());
        chain.root(about("c"), "gone", "c is gone", vec!["make it".to_owned()]);
        chain.root(about("d"), "gone too", "d is gone", Vec::new());
        let answer = chain.answer();
        assert_eq!(
            (answer.health, answer.summary.as_str()),
            (Health::Bad, "NotReady")
        );
        assert_eq!(answer.cause.as_deref(), Some("c is gone"));
        assert_eq!(answer.fixes, ["make it"]);
        assert_eq!(answer.links.len(), 4);
    }

    #[test]
    fn what_nobody_explained_is_its_own_cause() {
        let mut chain = Chain::default();
        chain.broken(about("a"), "NotReady");
        let answer = chain.answer();
        assert_eq!(answer.cause.as_deref(), Some("Pod a is NotReady"));
        assert_eq!(
            answer.fixes,
            ["`kubectl describe pod a -n demo` shows its conditions and events"]
        );
    }

    #[test]
    fn a_waiting_reason_does_not_explain_what_is_broken() {
        let mut chain = Chain::default();
        chain.broken(about("a"), "NotReady");
        chain.because(Health::Waiting, "it is being tried", Vec::new());
        assert_eq!(chain.answer().cause.as_deref(), Some("Pod a is NotReady"));
        let mut well = Chain::default();
        well.good(about("a"), "Ready");
        let answer = well.answer();
        assert_eq!((answer.health, answer.cause), (Health::Good, None));
    }
}
