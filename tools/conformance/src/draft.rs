//! A request before the run fills in what only the run knows: names that servers gave to sequential nodes, and
//! zxids.

use ringkeeper_rawclient::Body;

/// The path of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// These bytes, or null.
    Literal(Option<Vec<u8>>),
    /// A sequential node created a while ago: the n-th newest.
    Recent(usize),
}

impl Path {
    /// A path given as text.
    pub fn of(text: &str) -> Self {
        Path::Literal(Some(text.as_bytes().to_vec()))
    }

    fn label(&self) -> String {
        match self {
            Path::Literal(None) => "null".to_owned(),
            Path::Literal(Some(bytes)) if bytes.len() > 80 => format!("<{} bytes>", bytes.len()),
            Path::Literal(Some(bytes)) => format!("{:?}", String::from_utf8_lossy(bytes)),
            Path::Recent(back) => format!("<sequential node, {back} back>"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Raw(Body),
    Path(Path),
    /// The newest zxid seen, minus this.
    ZxidBack(i64),
}

/// What a run has learned so far.
#[derive(Debug, Default)]
pub struct Known {
    /// Names of sequential nodes, oldest first.
    pub sequential: Vec<String>,
    /// The newest zxid seen.
    pub zxid: i64,
}

/// A body with gaps, and words for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    parts: Vec<Part>,
    /// The request in words.
    pub label: String,
    /// Cuts the finished body here.
    pub cut_percent: Option<usize>,
    /// ZooKeeper's answer in a pipeline depends on the timing of its threads.
    pub is_unsteady: bool,
}

impl Draft {
    /// A draft with a label and no fields.
    pub fn new(label: impl Into<String>) -> Self {
        Draft { label: label.into(), ..Draft::default() }
    }

    /// Appends a path.
    #[must_use]
    pub fn path(mut self, path: Path) -> Self {
        self.label += &format!(" {}", path.label());
        self.parts.push(Part::Path(path));
        self
    }

    /// Appends fields that are known, and words for them.
    #[must_use]
    pub fn body(mut self, body: Body, words: &str) -> Self {
        if !words.is_empty() {
            self.label += &format!(" {words}");
        }
        self.parts.push(Part::Raw(body));
        self
    }

    /// Appends the newest zxid seen, minus `back`.
    #[must_use]
    pub fn zxid_back(mut self, back: i64) -> Self {
        self.label += &format!(" zxid-{back}");
        self.parts.push(Part::ZxidBack(back));
        self
    }

    /// Appends another draft's fields.
    #[must_use]
    pub fn draft(mut self, other: Draft) -> Self {
        self.label += &format!(" {{{}}}", other.label);
        self.parts.extend(other.parts);
        self.is_unsteady |= other.is_unsteady;
        self
    }

    /// The bytes of the body.
    pub fn finish(&self, known: &Known) -> Vec<u8> {
        let mut body = Body::new();
        for part in &self.parts {
            body = match part {
                Part::Raw(raw) => body.append(raw),
                Part::Path(Path::Literal(bytes)) => body.buffer(bytes.as_deref()),
                Part::Path(Path::Recent(back)) => {
                    let newest_first = known.sequential.iter().rev();
                    body.text(
                        newest_first
                            .skip(*back)
                            .map(|path| &path[..])
                            .next()
                            .unwrap_or("/a/s-0000000000"),
                    )
                }
                Part::ZxidBack(back) => body.long(known.zxid - back),
            };
        }
        let mut bytes = body.bytes().to_vec();
        if let Some(percent) = self.cut_percent {
            bytes.truncate(bytes.len() * percent / 100);
        }
        bytes
    }
}
