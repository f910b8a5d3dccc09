//! Step 1 of normalisation: bytes to text. Byte order mark, declared encoding, strict UTF-8, UTF-16 by the parity of its
//! NUL bytes, else Windows-1252.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::input::{Input, Scan};

/// The encoding of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Charset {
    pub(crate) encoding: &'static Encoding,
    /// Bytes of the byte order mark.
    pub(crate) mark_bytes: usize,
    /// What it goes by, for people.
    pub(crate) because: &'static str,
}

/// Decides the encoding. `configured` is a WHATWG label.
pub(crate) fn charset(scan: &Scan, configured: Option<&str>) -> Result<Charset, String> {
    if let Some((encoding, mark_bytes)) = Encoding::for_bom(&scan.head) {
        return Ok(Charset { encoding, mark_bytes, because: "byte order mark" });
    }
    if let Some(label) = configured {
        let encoding = Encoding::for_label(label.as_bytes())
            .ok_or_else(|| format!("\"{label}\" is not an encoding; try utf-8, windows-1252 or utf-16le"))?;
        return Ok(Charset { encoding, mark_bytes: 0, because: "configured" });
    }
    let [even, odd] = scan.nuls;
    let wide = scan.bytes / 4;
    if even + odd > wide && (even > 10 * odd || odd > 10 * even) {
        let encoding = if even > odd { UTF_16BE } else { UTF_16LE };
        return Ok(Charset { encoding, mark_bytes: 0, because: "every other byte is NUL" });
    }
    if scan.is_utf8 {
        return Ok(Charset { encoding: UTF_8, mark_bytes: 0, because: "valid UTF-8" });
    }
    if let Some(encoding) = declared(&scan.head) {
        return Ok(Charset { encoding, mark_bytes: 0, because: "declared in the file" });
    }
    Ok(Charset { encoding: WINDOWS_1252, mark_bytes: 0, because: "not UTF-8" })
}

/// The encoding that an XML declaration or an OFX header names.
fn declared(head: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(head.get(..512.min(head.len()))?).to_string();
    let after = |mark: &str| head.split_once(mark).map(|(_, rest)| rest);
    let xml = after("encoding=").and_then(|rest| rest.get(1..)?.split(['"', '\'']).next());
    let ofx = after("CHARSET:").and_then(|rest| rest.split_whitespace().next());
    let label = xml.or(ofx)?;
    let label = if label.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("windows-{label}")
    } else {
        label.to_owned()
    };
    Encoding::for_label(label.as_bytes()).filter(|&encoding| encoding != UTF_8)
}

/// The text of a file as UTF-8 without a byte order mark: the file itself where it is that already, else a temporary copy.
pub(crate) fn decoded(input: &Input, charset: Charset, scratch: &Path) -> io::Result<File> {
    let mut file = input.rewound()?;
    if charset.encoding == UTF_8 {
        file.seek(SeekFrom::Start(charset.mark_bytes as u64))?;
        return Ok(file);
    }
    let mut copy = BufWriter::new(tempfile::tempfile_in(scratch)?);
    file.seek(SeekFrom::Start(charset.mark_bytes as u64))?;
    let mut decoder = charset.encoding.new_decoder_without_bom_handling();
    let mut bytes = vec![0; 64 << 10];
    let mut text = String::with_capacity(256 << 10);
    loop {
        let read = file.read(&mut bytes)?;
        let chunk = bytes.get(..read).unwrap_or(&[]);
        text.clear();
        text.reserve(decoder.max_utf8_buffer_length(read).unwrap_or(read * 3 + 16));
        // Bytes that the encoding does not have become U+FFFD, which stays visible in the rows.
        let _ = decoder.decode_to_string(chunk, &mut text, read == 0);
        copy.write_all(text.as_bytes())?;
        if read == 0 {
            break;
        }
    }
    let mut copy = copy.into_inner().map_err(io::IntoInnerError::into_error)?;
    copy.seek(SeekFrom::Start(0))?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], configured: Option<&str>) -> (String, &'static str) {
        let scratch = std::env::temp_dir();
        let input = Input::spool("test".to_owned(), &mut &*bytes, &scratch).unwrap();
        let charset = charset(&input.scan().unwrap(), configured).unwrap();
        let mut text = String::new();
        decoded(&input, charset, &scratch).unwrap().read_to_string(&mut text).unwrap();
        (text, charset.encoding.name())
    }

    #[test]
    fn every_encoding_of_the_specification_is_read() {
        let utf16 = |text: &str, little: bool| -> Vec<u8> {
            text.encode_utf16()
                .flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
                .collect()
        };
        assert_eq!(read("Zürich;1".as_bytes(), None), ("Zürich;1".into(), "UTF-8"));
        assert_eq!(read("\u{feff}Zürich".as_bytes(), None), ("Zürich".into(), "UTF-8"));
        assert_eq!(read(b"Z\xFCrich \x80", None), ("Zürich €".into(), "windows-1252"));
        assert_eq!(read(&utf16("date,Zürich", true), None), ("date,Zürich".into(), "UTF-16LE"));
        assert_eq!(read(&utf16("date,Zürich", false), None), ("date,Zürich".into(), "UTF-16BE"));
        assert_eq!(read(&[&[0xFF, 0xFE][..], &utf16("é", true)].concat(), None), ("é".into(), "UTF-16LE"));
        assert_eq!(read(b"\xA4", Some("iso-8859-15")), ("€".into(), "ISO-8859-15"));
        assert_eq!(read(b"<?xml version=\"1.0\" encoding=\"ISO-8859-2\"?><a>\xB1</a>", None).1, "ISO-8859-2");
    }

    #[test]
    fn an_unknown_encoding_is_answered_with_known_ones() {
        let input = Input::spool("test".to_owned(), &mut &b"x"[..], &std::env::temp_dir()).unwrap();
        assert!(charset(&input.scan().unwrap(), Some("klingon")).unwrap_err().contains("windows-1252"));
    }
}
