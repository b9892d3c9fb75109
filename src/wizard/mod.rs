//! Wizards that also script: ask → answers → manifests.
//!
//! Each wizard is one struct of answers, which is its flags, its `--answers` file and its state all at once, and a list
//! of steps. A step looks at the answers and at what was found in the cluster, and asks one question where its answer is
//! still open; [`walk::Walk`] goes through the steps and back. What asks is behind [`prompter::Prompter`]: a terminal, a
//! script in tests, or nobody, who takes the defaults that can be guessed and collects the names of the flags that
//! cannot. The manifests follow from the answers alone, so everything but the asking is tested without a terminal and
//! without a cluster.
//!
//! Called by `kubectl kubestash create …` and `restore`, which fetch, show, prove, apply and wait.

pub mod answers;
pub mod asking;
pub mod backup;
pub mod credentials;
pub mod diff;
pub mod found;
pub mod names;
pub mod preview;
pub mod prompter;
pub mod restore;
pub mod retention;
pub mod scripted;
pub mod storage;
pub mod target;
pub mod terminal;
pub mod usage;
pub mod walk;
