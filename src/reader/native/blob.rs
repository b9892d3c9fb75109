//! Blobs as packs hold them: a nonce, what is encrypted, and its seal; inside, where the index says so, compressed by zstd.
//!
//! rustic_core reads trees and the index. The content of files is deciphered here, with the same crates and fewer copies: a
//! download is bound by its processors, and each copy of each byte counts. (restic's design document, "Encryption and MAC".)

use std::num::NonZeroU32;

use aes256ctr_poly1305aes::aead::AeadInPlace;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce, Tag};
use bytes::Bytes;
use rustic_core::repofile::MasterKey;
use zstd::bulk::Decompressor;

/// Bytes of the nonce before a blob and of the seal behind it.
const NONCE: usize = 16;
const SEAL: usize = 16;

/// Opens blobs, one after the other.
pub(in crate::reader) struct Decoder {
    cipher: Aes256CtrPoly1305Aes,
    zstd: Decompressor<'static>,
    /// Where a blob is put together and deciphered; as large as the largest.
    work: Vec<u8>,
}

impl Decoder {
    /// With the key of a repository.
    ///
    /// # Errors
    /// When the key is not one of restic's.
    pub(super) fn new(key: &MasterKey) -> Result<Self, String> {
        let whole = [&key.encrypt[..], &key.mac.k, &key.mac.r];
        if whole.map(<[u8]>::len) != [32, 16, 16] {
            return Err("the repository's key has another length than restic's".to_owned());
        }
        Ok(Decoder {
            cipher: Aes256CtrPoly1305Aes::new(Key::from_slice(&whole.concat())),
            zstd: Decompressor::new().map_err(|e| e.to_string())?,
            work: Vec::new(),
        })
    }

    /// The content of a blob whose sealed bytes `fetch` puts behind each other; `plain` is how many bytes it has where it is
    /// compressed.
    ///
    /// # Errors
    /// `fetch`'s, and what is wrong with the blob.
    pub(super) fn open(
        &mut self,
        plain: Option<NonZeroU32>,
        fetch: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<Bytes, String> {
        self.work.clear();
        fetch(&mut self.work)?;
        let (nonce, rest) = self
            .work
            .split_at_mut_checked(NONCE)
            .ok_or("a blob is too short")?;
        let inside = rest.len().checked_sub(SEAL).ok_or("a blob is too short")?;
        let (content, seal) = rest.split_at_mut(inside);
        self.cipher
            .decrypt_in_place_detached(Nonce::from_slice(nonce), &[], content, Tag::from_slice(seal))
            .map_err(|_| "a blob is damaged or of another key")?;
        let Some(plain) = plain else {
            return Ok(Bytes::copy_from_slice(content));
        };
        let plain = plain.get() as usize;
        let content = self.zstd.decompress(content, plain);
        let content = content.map_err(|e| format!("a blob cannot be decompressed: {e}"))?;
        if content.len() != plain {
            return Err(format!("a blob has {} bytes, not {plain}", content.len()));
        }
        Ok(content.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MasterKey {
        let mut key = MasterKey::new();
        key.encrypt = (0..32).collect();
        (key.mac.k, key.mac.r) = ((1..17).collect(), (2..18).collect());
        key
    }

    /// As restic writes them.
    fn sealed(content: &[u8]) -> Vec<u8> {
        let key = key();
        let cipher =
            Aes256CtrPoly1305Aes::new(Key::from_slice(&[key.encrypt, key.mac.k, key.mac.r].concat()));
        let nonce = [7; NONCE];
        let mut content = content.to_vec();
        let tag = cipher
            .encrypt_in_place_detached(Nonce::from_slice(&nonce), &[], &mut content)
            .unwrap();
        [&nonce[..], &content, &tag].concat()
    }

    fn open(sealed: &[u8], plain: usize) -> Result<Bytes, String> {
        let mut decoder = Decoder::new(&key()).unwrap();
        decoder.open(NonZeroU32::new(u32::try_from(plain).unwrap()), |to| {
            to.extend_from_slice(sealed);
            Ok(())
        })
    }

    #[test]
    fn plain_and_compressed_blobs_open() {
        assert_eq!(open(&sealed(b"as it is"), 0).unwrap(), "as it is");
        let long = b"again ".repeat(100_000);
        let packed = sealed(&zstd::bulk::compress(&long, 3).unwrap());
        assert_eq!(open(&packed, long.len()).unwrap(), long);
        assert_eq!(open(&sealed(b""), 0).unwrap(), "");
    }

    #[test]
    fn what_is_damaged_does_not_open() {
        let whole = sealed(b"content");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            open(&damaged, 0).unwrap_err();
        }
        for short in 0..whole.len() {
            open(&whole[..short], 0).unwrap_err();
        }
        let packed = sealed(&zstd::bulk::compress(&[1; 1000], 3).unwrap());
        open(&packed, 999).unwrap_err();
        open(&packed, 1001).unwrap_err();
        open(&sealed(b"not zstd"), 8).unwrap_err();
    }

    #[test]
    fn one_decoder_opens_many() {
        let mut decoder = Decoder::new(&key()).unwrap();
        for content in [&b"a long one to begin with"[..], b"short", b""] {
            let sealed = sealed(content);
            let opened = decoder.open(None, |to| {
                to.extend_from_slice(&sealed);
                Ok(())
            });
            assert_eq!(opened.unwrap(), content);
        }
        assert_eq!(
            decoder.open(None, |_| Err("gone".to_owned())).unwrap_err(),
            "gone"
        );
    }
}
