//! Terminals for commands in containers: they lie in the container's own `/dev/pts`, so that programs find their names, and
//! follow the size of the terminal of whoever asked.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use nix::libc::O_NOCTTY;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::sync::watch;

use crate::sandbox::kubelet::TerminalSize;

/// A terminal's two ends.
pub(super) struct Terminal {
    /// Ours.
    pub(super) master: OwnedFd,
    /// The command's.
    pub(super) slave: OwnedFd,
}

impl Terminal {
    /// A terminal of the container whose first process is `pid`, or of the computer where the container has none of its own.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn of_container(pid: i32) -> io::Result<Self> {
        let own = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(O_NOCTTY)
            .open(format!("/proc/{pid}/root/dev/pts/ptmx"));
        match own.map(OwnedFd::from).and_then(Self::behind) {
            Ok(terminal) => Ok(terminal),
            Err(_) => Self::of_computer(),
        }
    }

    /// A terminal of the computer.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn of_computer() -> io::Result<Self> {
        Self::behind(openpt(
            OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
        )?)
    }

    fn behind(master: OwnedFd) -> io::Result<Self> {
        unlockpt(&master)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        Ok(Self { master, slave })
    }
}

/// Gives a terminal a size; programs in it are told.
///
/// # Errors
/// When it is no terminal (any more).
pub(super) fn resize(terminal: impl AsFd, size: TerminalSize) -> io::Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}

/// Makes every size that is told the terminal's, until nobody tells any more.
pub(super) async fn follow(terminal: OwnedFd, mut size: watch::Receiver<TerminalSize>) {
    while size.changed().await.is_ok() {
        let now = *size.borrow_and_update();
        if resize(&terminal, now).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_terminal_takes_the_sizes_that_are_told() {
        let terminal = Terminal::of_computer().unwrap();
        let (tell, told) = watch::channel(TerminalSize::USUAL);
        resize(&terminal.master, *told.borrow()).unwrap();
        let now = || rustix::termios::tcgetwinsize(&terminal.slave).unwrap();
        assert_eq!((now().ws_col, now().ws_row), (80, 24));
        let following = tokio::spawn(follow(terminal.master.try_clone().unwrap(), told));
        tell.send(TerminalSize {
            columns: 132,
            rows: 50,
        })
        .unwrap();
        while now().ws_col != 132 {
            tokio::task::yield_now().await;
        }
        assert_eq!(now().ws_row, 50);
        drop(tell);
        following.await.unwrap();
    }
}
