//! XML, pulled: elements are handed over as small trees, one at a time, so a file of any size takes bounded memory.
//!
//! A document type declaration is refused: it is how entities are abused (XXE, "billion laughs"), and no statement has one.

use std::fs::File;
use std::io::BufReader;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use stoa_kernel::limits;
use stoa_reconciliation::row::{Place, ReadError};

/// An element with everything inside it. Names are without their namespace prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) text: String,
    pub(crate) children: Vec<Self>,
    pub(crate) place: Place,
}

impl Element {
    /// The first descendant along a path `A/B/C`.
    pub(crate) fn find(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |at, name| at.children.iter().find(|child| child.name == name))
    }

    /// All children of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text along a path; blank where there is none.
    pub(crate) fn text_at(&self, path: &str) -> &str {
        self.find(path).map_or("", |element| element.text.trim())
    }

    /// The first of several paths that has text.
    pub(crate) fn first_of(&self, paths: &[&str]) -> &str {
        paths.iter().map(|path| self.text_at(path)).find(|text| !text.is_empty()).unwrap_or("")
    }

    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Visits every leaf with its path.
    pub(crate) fn leaves(&self, path: &str, visit: &mut dyn FnMut(&str, &str)) {
        for child in &self.children {
            let path = if path.is_empty() { child.name.clone() } else { format!("{path}/{}", child.name) };
            if child.children.is_empty() {
                visit(&path, child.text.trim());
            } else {
                child.leaves(&path, visit);
            }
        }
    }
}

/// What is pulled from a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// An element begins that is entered: its path is [`Xml::path`].
    Enter,
    /// An element that was asked for, whole.
    Whole(Element),
    /// The element that was entered last ends; its name.
    Leave(String),
    /// The end of the document.
    End,
}

/// Pulls elements from a document.
pub(crate) struct Xml {
    reader: Reader<BufReader<File>>,
    buffer: Vec<u8>,
    path: Vec<String>,
    offset: u64,
    lines: LineCounter,
    any: bool,
}

/// Lines are counted lazily from the file itself: XML events know only byte offsets.
struct LineCounter {
    file: File,
    at: Place,
}

impl LineCounter {
    fn place(&mut self, byte: u64) -> std::io::Result<Place> {
        use std::os::unix::fs::FileExt as _;
        if byte < self.at.byte {
            return Ok(Place { byte, ..self.at });
        }
        let mut buffer = vec![0; 64 << 10];
        while self.at.byte < byte {
            let wanted = usize::try_from(byte - self.at.byte).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.file.read_at(buffer.get_mut(..wanted).unwrap_or(&mut []), self.at.byte)?;
            if read == 0 {
                break;
            }
            self.at.line += memchr::memchr_iter(b'\n', buffer.get(..read).unwrap_or(&[])).count() as u64;
            self.at.byte += read as u64;
        }
        Ok(Place { byte, line: self.at.line })
    }
}

impl Xml {
    pub(crate) fn new(file: File, offset: u64) -> std::io::Result<Self> {
        let lines = LineCounter { file: file.try_clone()?, at: Place { line: 1, byte: offset } };
        let mut reader = Reader::from_reader(BufReader::with_capacity(64 << 10, file));
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_end_names = true;
        Ok(Self { reader, buffer: Vec::new(), path: Vec::new(), offset, lines, any: false })
    }

    /// The names of the elements that are entered.
    pub(crate) fn path(&self) -> &[String] {
        &self.path
    }

    pub(crate) fn position(&self) -> u64 {
        self.offset + self.reader.buffer_position()
    }

    pub(crate) fn place(&mut self) -> Result<Place, ReadError> {
        Ok(self.lines.place(self.offset + self.reader.buffer_position())?)
    }

    fn malformed(&mut self, message: String) -> ReadError {
        match self.place() {
            Ok(place) => ReadError::Malformed { place, message },
            Err(error) => error,
        }
    }

    fn event(&mut self) -> Result<Step, ReadError> {
        self.buffer.clear();
        let event = match self.reader.read_event_into(&mut self.buffer) {
            Ok(event) => event,
            Err(quick_xml::Error::Io(error)) => {
                return Err(ReadError::Io(std::io::Error::new(error.kind(), error.to_string())));
            }
            Err(error) => {
                let message = format!("the XML is not well-formed: {error}");
                return Err(self.malformed(message));
            }
        };
        let step = match event {
            Event::Start(start) => Step::Start(begin(&start)),
            Event::End(end) => Step::End(end.local_name().as_ref().to_owned()),
            Event::Text(text) => Step::Text(text.to_string()),
            Event::CData(data) => Step::Text(data.to_string()),
            Event::GeneralRef(reference) => Step::Text(resolve(&reference)),
            Event::DocType(_) => return Err(self.malformed(
                "the file has a document type declaration (DTD), which is refused: entities can be an attack"
                    .to_owned(),
            )),
            Event::Eof => Step::Eof,
            _ => Step::Other,
        };
        Ok(step)
    }

    /// Pulls on. `whole` answers for the path of each element that begins whether it is wanted as a tree.
    pub(crate) fn next(&mut self, whole: impl Fn(&[String], &str) -> bool) -> Result<Pulled, ReadError> {
        loop {
            match self.event()? {
                Step::Start(element) => {
                    self.any = true;
                    if self.path.len() >= limits::NESTING_MAX {
                        return Err(self
                            .malformed(format!("elements are nested deeper than {}", limits::NESTING_MAX)));
                    }
                    if whole(&self.path, &element.name) {
                        return Ok(Pulled::Whole(self.tree(element)?));
                    }
                    self.path.push(element.name);
                    return Ok(Pulled::Enter);
                }
                Step::End(name) => {
                    self.path.pop();
                    return Ok(Pulled::Leave(name));
                }
                Step::Eof => {
                    if !self.path.is_empty() {
                        let message = format!(
                            "the file ends inside <{}>; it is cut off",
                            self.path.last().map_or("", String::as_str)
                        );
                        return Err(self.malformed(message));
                    }
                    if !self.any {
                        return Err(self.malformed("there is no XML element in the file".to_owned()));
                    }
                    return Ok(Pulled::End);
                }
                Step::Text(_) | Step::Other => {}
            }
        }
    }

    /// Reads an element to its end.
    fn tree(&mut self, mut root: Element) -> Result<Element, ReadError> {
        root.place = self.place()?;
        let from = self.position();
        let mut open: Vec<Element> = vec![root];
        loop {
            if self.position() - from > limits::ROW_BYTES_MAX as u64 {
                return Err(
                    self.malformed(format!("one entry is longer than {} MiB", limits::ROW_BYTES_MAX >> 20))
                );
            }
            match self.event()? {
                Step::Start(element) => {
                    if open.len() + self.path.len() >= limits::NESTING_MAX {
                        return Err(self
                            .malformed(format!("elements are nested deeper than {}", limits::NESTING_MAX)));
                    }
                    open.push(element);
                }
                Step::Text(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text);
                    }
                }
                Step::End(_) => {
                    let Some(done) = open.pop() else { break };
                    match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => return Ok(done),
                    }
                }
                Step::Eof => {
                    let name = open.last().map_or("", |element| element.name.as_str()).to_owned();
                    return Err(self.malformed(format!("the file ends inside <{name}>; it is cut off")));
                }
                Step::Other => {}
            }
        }
        Ok(Element::default())
    }
}

enum Step {
    Start(Element),
    End(String),
    Text(String),
    Eof,
    Other,
}

fn begin(start: &BytesStart<'_>) -> Element {
    let attributes = start
        .attributes()
        .with_checks(false)
        .flatten()
        .map(|attribute| {
            let name = attribute.key.local_name().as_ref().to_owned();
            (name, attribute.value.to_string())
        })
        .collect();
    Element { name: start.local_name().as_ref().to_owned(), attributes, ..Element::default() }
}

/// The five entities of XML and character references; anything else stays as it is written.
pub(crate) fn resolve(reference: &str) -> String {
    match reference {
        "amp" => "&".to_owned(),
        "lt" => "<".to_owned(),
        "gt" => ">".to_owned(),
        "quot" => "\"".to_owned(),
        "apos" => "'".to_owned(),
        "nbsp" => " ".to_owned(),
        _ => {
            let code = reference.strip_prefix('#').and_then(|number| match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => number.parse().ok(),
            });
            code.and_then(char::from_u32).map_or_else(|| format!("&{reference};"), String::from)
        }
    }
}
