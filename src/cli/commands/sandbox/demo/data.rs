//! The demo's data: a few thousand real files of every kind that backups get wrong, made the same way each time.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A small generator (xorshift64*): repeatable contents without a dependency. Never for secrets.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// What was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    /// Regular files, hard links included.
    pub(super) files: u64,
    /// Bytes of their contents, holes included.
    pub(super) bytes: u64,
}

/// Fills `root` with `count` small files and one of every awkward kind. `seed` makes the contents differ between trees.
/// Owners other than one's own are set only where `as_root` allows it.
pub(super) fn fill(root: &Path, count: u32, seed: u64, as_root: bool) -> io::Result<Made> {
    let mut noise = Noise(seed | 1);
    let mut made = Made::default();
    for n in 0..count {
        let dir = root.join(format!("records/{:02}/{:02}", n % 16, n / 16 % 20));
        fs::create_dir_all(&dir)?;
        let length = (noise.next() % 9000) as usize;
        let path = dir.join(format!("{n:05}.dat"));
        let mut text = format!("record {n}\n").into_bytes();
        text.extend(noise.bytes(length));
        put(&path, &text, &mut made)?;
        fs::set_permissions(
            &path,
            fs::Permissions::from_mode([0o644, 0o600, 0o755, 0o440, 0o666][n as usize % 5]),
        )?;
        age(&path, Duration::from_secs(u64::from(n) * 7919 + 1))?;
        if as_root && n % 7 == 0 {
            chown(&path, Some(1000 + n % 11), Some(2000 + n % 3))?;
        }
    }
    awkward(root, &mut noise, &mut made, as_root)?;
    Ok(made)
}

/// Changes some of the tree as a day's work would: edits, an append, a removal, a new file.
pub(super) fn change(root: &Path, seed: u64) -> io::Result<()> {
    let mut noise = Noise(seed | 1);
    let mut made = Made::default();
    for n in (0..16).map(|n| n * 3 % 16) {
        let dir = root.join(format!("records/{n:02}/00"));
        put(&dir.join(format!("new-{n}.dat")), &noise.bytes(20_000), &mut made)?;
    }
    let mut large = fs::OpenOptions::new().append(true).open(root.join("large.bin"))?;
    large.write_all(&noise.bytes(1 << 20))?;
    fs::remove_file(root.join("records/05/00/00005.dat"))
}

fn put(path: &Path, bytes: &[u8], made: &mut Made) -> io::Result<()> {
    fs::write(path, bytes)?;
    made.files += 1;
    made.bytes += bytes.len() as u64;
    Ok(())
}

/// Sets a file's or directory's times to a moment in the past, down to the nanosecond.
fn age(path: &Path, past: Duration) -> io::Result<()> {
    let moment = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789) - past;
    File::open(path)?.set_times(FileTimes::new().set_modified(moment).set_accessed(moment))
}

fn awkward(root: &Path, noise: &mut Noise, made: &mut Made, as_root: bool) -> io::Result<()> {
    put(&root.join("empty"), b"", made)?;
    put(&root.join("large.bin"), &noise.bytes(24 << 20), made)?;
    let mut sparse = File::create(root.join("sparse.img"))?;
    sparse.seek(SeekFrom::Start(64 << 20))?;
    sparse.write_all(b"the only data is at the end")?;
    made.files += 1;
    made.bytes += (64 << 20) + 27;
    let odd = root.join("odd names");
    fs::create_dir(&odd)?;
    let names: &[&[u8]] = &[
        b"new\nline",
        b"tab\there",
        b" leading and trailing ",
        b"-rf",
        b"quote'\"`$(x)*?[a]",
        "ünï-日本語-🗄".as_bytes(),
        b"latin1-\xe9\xff",
        b"back\\slash",
        b"#comment",
    ];
    for name in names {
        put(&odd.join(OsStr::from_bytes(name)), name, made)?;
    }
    fs::hard_link(
        root.join("large.bin"),
        root.join("odd names/second name of large.bin"),
    )?;
    made.files += 1;
    symlink("../large.bin", root.join("odd names/relative link"))?;
    symlink("/nowhere/at/all", root.join("dangling link"))?;
    fs::create_dir_all(root.join("a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p"))?;
    let drop_box = root.join("drop box");
    fs::create_dir(&drop_box)?;
    if as_root {
        chown(&drop_box, Some(65534), Some(65534))?;
        lchown(root.join("dangling link"), Some(4321), Some(1234))?;
    }
    fs::set_permissions(&drop_box, fs::Permissions::from_mode(0o3777))?;
    age(&drop_box, Duration::from_secs(86_400))?;
    age(&odd, Duration::from_secs(172_800))
}

/// Removes everything below `root`, but not `root` itself.
pub(super) fn destroy(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
