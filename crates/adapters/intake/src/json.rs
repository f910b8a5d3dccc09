//! JSON: an array of objects (or an object that holds one), read element by element; and NDJSON, one object a line.
//! Numbers are kept as they are written, never as floats. Nested objects become columns `a.b`.

use std::fs::File;
use std::io::{BufRead, BufReader};

use serde_json::Value;
use stoa_kernel::limits;
use stoa_reconciliation::row::{Item, Place, ReadError, Rejection, Row, RowReader};

use crate::lines::Lines;
use crate::table::Table;

/// Where objects come from.
enum Source {
    Lines(Lines),
    Array(Box<Array>),
}

/// Reads JSON and NDJSON.
pub(crate) struct Json {
    source: Source,
    table: Table,
}

impl Json {
    pub(crate) fn lines(file: File, offset: u64) -> Self {
        Self { source: Source::Lines(Lines::new(file, offset)), table: Table::default() }
    }

    pub(crate) fn array(file: File, offset: u64) -> Self {
        let array = Array {
            file: BufReader::with_capacity(64 << 10, file),
            at: Place { line: 1, byte: offset },
            inside: false,
            done: false,
            start: offset,
        };
        Self { source: Source::Array(Box::new(array)), table: Table::default() }
    }

    fn element(&mut self) -> Result<Option<(String, Place, bool)>, ReadError> {
        match &mut self.source {
            Source::Lines(lines) => loop {
                match lines.next()? {
                    None => return Ok(None),
                    Some(line) if line.text.trim().is_empty() => {}
                    Some(line) => return Ok(Some((line.text, line.place, line.cut))),
                }
            },
            Source::Array(array) => array.next(),
        }
    }

    fn flatten(&mut self, path: &str, value: &Value, depth: usize) {
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            Value::Null => {}
            Value::Bool(yes) => self.table.set(path, if *yes { "true" } else { "false" }),
            Value::Number(number) => self.table.set(path, &number.to_string()),
            Value::String(text) => self.table.set(path, text),
            Value::Object(members) if depth < limits::NESTING_MAX => {
                for (name, member) in members {
                    self.flatten(&join(name), member, depth + 1);
                }
            }
            Value::Array(items) if depth < limits::NESTING_MAX => {
                for (index, item) in items.iter().enumerate() {
                    self.flatten(&join(&index.to_string()), item, depth + 1);
                }
            }
            Value::Object(_) | Value::Array(_) => self.table.set(path, &value.to_string()),
        }
    }
}

impl RowReader for Json {
    fn columns(&self) -> &[String] {
        self.table.columns()
    }

    fn next(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        let Some((text, place, cut)) = self.element()? else { return Ok(None) };
        if cut {
            let reason = format!("the object is longer than {} MiB", limits::ROW_BYTES_MAX >> 20);
            return Ok(Some(Item::Rejected(Rejection::new(place, reason, &text))));
        }
        match serde_json::from_str::<Value>(&text) {
            Ok(value @ Value::Object(_)) => {
                self.flatten("", &value, 0);
                self.table.finish(row, place);
                Ok(Some(Item::Row))
            }
            Ok(_) => Ok(Some(Item::Rejected(Rejection::new(place, "a row must be a JSON object", &text)))),
            Err(error) => {
                Ok(Some(Item::Rejected(Rejection::new(place, format!("not valid JSON: {error}"), &text))))
            }
        }
    }

    fn position(&self) -> u64 {
        match &self.source {
            Source::Lines(lines) => lines.position(),
            Source::Array(array) => array.at.byte,
        }
    }
}

/// Cuts the elements out of the first array of objects in a document.
struct Array {
    file: BufReader<File>,
    at: Place,
    inside: bool,
    done: bool,
    /// Offset of the first character that is not blank.
    start: u64,
}

impl Array {
    fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        loop {
            match self.file.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
                Ok(buffer) => return Ok(buffer.first().copied()),
            }
        }
    }

    fn bump(&mut self, byte: u8) {
        self.file.consume(1);
        self.at.byte += 1;
        self.at.line += u64::from(byte == b'\n');
    }

    fn malformed(&self, message: &str) -> ReadError {
        ReadError::Malformed { place: self.at, message: message.to_owned() }
    }

    fn skip_blanks(&mut self) -> Result<Option<u8>, ReadError> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.bump(byte);
        }
        Ok(None)
    }

    /// Passes over a string whose opening quote is next; copies it where `out` is given.
    fn string(&mut self, mut out: Option<&mut Vec<u8>>) -> Result<(), ReadError> {
        let (mut escaped, mut first) = (false, true);
        while let Some(byte) = self.peek()? {
            self.bump(byte);
            if let Some(out) = out.as_mut()
                && out.len() < limits::ROW_BYTES_MAX
            {
                out.push(byte);
            }
            match byte {
                b'"' if !first && !escaped => return Ok(()),
                b'\\' => escaped = !escaped,
                _ => escaped = false,
            }
            first = false;
        }
        Err(self.malformed("the file ends inside a string; it is cut off"))
    }

    /// Moves to the first array that holds objects (or nothing).
    fn enter(&mut self) -> Result<(), ReadError> {
        self.skip_blanks()?;
        self.start = self.at.byte;
        while let Some(byte) = self.skip_blanks()? {
            match byte {
                b'"' => self.string(None)?,
                b'[' => {
                    let is_root = self.at.byte == self.start;
                    self.bump(byte);
                    // An empty array inside a document is not the one that is looked for.
                    let next = self.skip_blanks()?;
                    if next == Some(b'{') || (is_root && next == Some(b']')) {
                        self.inside = true;
                        return Ok(());
                    }
                }
                other => self.bump(other),
            }
        }
        Err(self.malformed("there is no array of objects in the file"))
    }

    fn next(&mut self) -> Result<Option<(String, Place, bool)>, ReadError> {
        if self.done {
            return Ok(None);
        }
        if !self.inside {
            self.enter()?;
        }
        loop {
            match self.skip_blanks()? {
                Some(b',') => self.bump(b','),
                Some(b']') => {
                    self.done = true;
                    return Ok(None);
                }
                None => return Err(self.malformed("the file ends inside the array; it is cut off")),
                Some(_) => return self.cut().map(Some),
            }
        }
    }

    /// Cuts one element out, by counting brackets outside strings.
    fn cut(&mut self) -> Result<(String, Place, bool), ReadError> {
        let place = self.at;
        let (mut out, mut depth) = (Vec::new(), 0usize);
        while let Some(byte) = self.peek()? {
            match byte {
                b'"' => {
                    self.string(Some(&mut out))?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => break,
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => break,
                _ => {}
            }
            self.bump(byte);
            if out.len() < limits::ROW_BYTES_MAX {
                out.push(byte);
            }
            if depth == 0 && matches!(byte, b'}' | b']') {
                break;
            }
        }
        if depth > 0 {
            return Err(self.malformed("the file ends inside an object; it is cut off"));
        }
        // A stray closing brace would stand still for ever.
        if out.is_empty()
            && let Some(byte) = self.peek()?
        {
            self.bump(byte);
            out.push(byte);
        }
        let cut = out.len() >= limits::ROW_BYTES_MAX;
        Ok((String::from_utf8_lossy(&out).into_owned(), place, cut))
    }
}
