//! The frames of SPDY/3.1, which kubectl's port-forward speaks inside a WebSocket: reading and writing, nothing else.
//! Source: the SPDY protocol draft 3.1 (frames in section 2.2 to 2.6, the dictionary in 2.6.10.1).

use std::collections::BTreeMap;
use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

const HEAD: usize = 8;
const CONTROL: u8 = 0x80;
const VERSION: u8 = 3;
const FIN: u8 = 1;
const SYN_STREAM: u8 = 1;
const SYN_REPLY: u8 = 2;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;

/// Headers larger than this are no port-forward's.
const HEADERS_LIMIT: usize = 64 << 10;

/// Words of the dictionary that are preceded by their length.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age \
     allow authorization cache-control connection content-base content-encoding content-language content-length \
     content-location content-md5 content-range content-type date etag expect expires from host if-match \
     if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
     proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
     user-agent vary via warning www-authenticate method get status 200+OK version HTTP/1.1 url public set-cookie \
     keep-alive origin";

/// The rest of the dictionary.
const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
     203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden\
     404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
     Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
     chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,\
     publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut out = Vec::new();
    for word in WORDS.split_whitespace() {
        out.extend_from_slice(&u32::try_from(word.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(word.replace('+', " ").as_bytes());
    }
    out.extend_from_slice(TEXT.as_bytes());
    out
}

/// What a client sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A new stream with its headers (names in lower case); `fin` when the client will send nothing on it.
    Open {
        stream: u32,
        headers: BTreeMap<String, String>,
        fin: bool,
    },
    /// Bytes of a stream.
    Data { stream: u32, bytes: Vec<u8>, fin: bool },
    /// The client gave a stream up.
    Reset { stream: u32 },
    /// To be sent back as it is.
    Ping { frame: Vec<u8> },
    /// Settings, windows and farewells: nothing here depends on them.
    Other,
}

/// Collects bytes and gives frames back. Headers share one compression for the whole connection.
pub(super) struct Reader {
    pending: Vec<u8>,
    headers: Decompress,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            pending: Vec::new(),
            headers: Decompress::new(true),
        }
    }

    /// Takes bytes in.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        let Some(head) = self.pending.first_chunk::<HEAD>().copied() else {
            return Ok(None);
        };
        let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
        if self.pending.len() < HEAD + length {
            return Ok(None);
        }
        let whole: Vec<u8> = self.pending.drain(..HEAD + length).collect();
        let body = whole.get(HEAD..).unwrap_or_default();
        let fin = head[4] & FIN != 0;
        if head[0] & CONTROL == 0 {
            let stream = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let bytes = body.to_vec();
            return Ok(Some(Frame::Data { stream, bytes, fin }));
        }
        let stream = number(body);
        Ok(Some(match head[3] {
            SYN_STREAM => Frame::Open {
                stream,
                headers: self.inflate(body.get(10..).unwrap_or_default())?,
                fin,
            },
            RST_STREAM => Frame::Reset { stream },
            PING => Frame::Ping { frame: whole },
            _ => Frame::Other,
        }))
    }

    fn inflate(&mut self, mut packed: &[u8]) -> io::Result<BTreeMap<String, String>> {
        let mut plain = Vec::with_capacity(1024);
        while !packed.is_empty() {
            if plain.len() > HEADERS_LIMIT {
                return Err(io::Error::other("headers are too long"));
            }
            plain.reserve(1024);
            let before = self.headers.total_in();
            match self
                .headers
                .decompress_vec(packed, &mut plain, FlushDecompress::Sync)
            {
                Ok(Status::BufError) if plain.len() == plain.capacity() => {}
                Ok(Status::BufError | Status::StreamEnd) => break,
                Ok(Status::Ok) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.headers
                        .set_dictionary(&dictionary())
                        .map_err(io::Error::other)?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
            let used = usize::try_from(self.headers.total_in() - before).unwrap_or(0);
            packed = packed.get(used..).unwrap_or_default();
        }
        Ok(parse_headers(&plain))
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk::<4>()
        .map_or(0, |n| u32::from_be_bytes(*n) & 0x7fff_ffff)
}

/// A count, then names and values, each behind its length. What is cut off is left out.
fn parse_headers(plain: &[u8]) -> BTreeMap<String, String> {
    let mut at = 4;
    let mut text = || -> Option<String> {
        let length = usize::try_from(number(plain.get(at..)?)).ok()?;
        let bytes = plain.get(at + 4..at + 4 + length)?;
        at += 4 + length;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let mut found = BTreeMap::new();
    for _ in 0..number(plain).min(64) {
        let (Some(name), Some(value)) = (text(), text()) else {
            break;
        };
        found.insert(name.to_ascii_lowercase(), value);
    }
    found
}

/// Makes frames; the headers of replies share one compression too.
pub(super) struct Writer {
    headers: Compress,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            headers: Compress::new(Compression::fast(), true),
        }
    }

    /// Accepts a stream.
    pub(super) fn reply(&mut self, stream: u32) -> io::Result<Vec<u8>> {
        let mut packed = Vec::with_capacity(128);
        self.headers
            .compress_vec(&0u32.to_be_bytes(), &mut packed, FlushCompress::Sync)
            .map_err(io::Error::other)?;
        let mut body = stream.to_be_bytes().to_vec();
        body.extend_from_slice(&packed);
        Ok(control(SYN_REPLY, &body))
    }
}

/// Bytes of a stream, at most 16 MiB of them.
pub(super) fn data(stream: u32, bytes: &[u8], fin: bool) -> Vec<u8> {
    let mut frame = stream.to_be_bytes().to_vec();
    frame.extend_from_slice(&length(bytes.len(), u8::from(fin)));
    frame.extend_from_slice(bytes);
    frame
}

fn control(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![CONTROL, VERSION, 0, kind];
    frame.extend_from_slice(&length(body.len(), 0));
    frame.extend_from_slice(body);
    frame
}

/// Flags and a length of three bytes.
fn length(length: usize, flags: u8) -> [u8; 4] {
    let [_, a, b, c] = u32::try_from(length).unwrap_or(0).to_be_bytes();
    [flags, a, b, c]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream as a client opens it.
    fn opened(stream: u32, headers: &[(&str, &str)], packer: &mut Compress) -> Vec<u8> {
        let mut plain = u32::try_from(headers.len()).unwrap().to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(n, v)| [n, v]) {
            plain.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            plain.extend_from_slice(text.as_bytes());
        }
        let mut packed = Vec::with_capacity(4096);
        packer
            .compress_vec(&plain, &mut packed, FlushCompress::Sync)
            .unwrap();
        let mut body = stream.to_be_bytes().to_vec();
        body.extend_from_slice(&[0; 6]);
        body.extend_from_slice(&packed);
        control(SYN_STREAM, &body)
    }

    #[test]
    fn the_dictionary_is_the_protocols() {
        let mut packer = Compress::new(Compression::fast(), true);
        assert_eq!(packer.set_dictionary(&dictionary()).unwrap(), 0xe3c6_a7c2);
    }

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let mut packer = Compress::new(Compression::best(), true);
        packer.set_dictionary(&dictionary()).unwrap();
        let mut bytes = opened(
            1,
            &[("streamtype", "error"), ("accept-encoding", "x")],
            &mut packer,
        );
        bytes.extend(opened(3, &[("streamtype", "data"), ("port", "80")], &mut packer));
        bytes.extend(data(3, b"hello", true));
        bytes.extend(control(PING, &1u32.to_be_bytes()));
        for size in [1, 7, bytes.len()] {
            let mut reader = Reader::new();
            let mut frames = Vec::new();
            for piece in bytes.chunks(size) {
                reader.push(piece);
                while let Some(frame) = reader.next().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames.len(), 4);
            let Frame::Open {
                stream: 3, headers, ..
            } = &frames[1]
            else {
                panic!("{frames:?}")
            };
            assert_eq!(headers["port"], "80");
            assert_eq!(
                frames[2],
                Frame::Data {
                    stream: 3,
                    bytes: b"hello".to_vec(),
                    fin: true
                }
            );
            assert!(matches!(&frames[3], Frame::Ping { frame } if frame.len() == 12));
        }
    }

    #[test]
    fn replies_can_be_read_back() {
        let mut writer = Writer::new();
        let mut headers = Decompress::new(true);
        for stream in [1, 3] {
            let frame = writer.reply(stream).unwrap();
            assert_eq!(&frame[..4], &[0x80, 3, 0, SYN_REPLY]);
            assert_eq!(number(&frame[8..]), stream);
            let mut plain = Vec::with_capacity(64);
            headers
                .decompress_vec(&frame[12..], &mut plain, FlushDecompress::Sync)
                .unwrap();
            assert_eq!(plain, [0; 4]);
        }
    }
}
