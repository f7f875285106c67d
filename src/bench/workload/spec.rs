//! What a workload's TOML may say. docs/workloads.md explains each key.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use toml::Spanned;

use super::Caches;

/// A whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Spec {
    pub about: String,
    #[serde(default)]
    pub caches: Caches,
    #[serde(default = "yes")]
    pub verify: bool,
    #[serde(default)]
    pub clients: Vec<Spanned<u32>>,
    #[serde(default)]
    pub depth: Vec<Spanned<u32>>,
    #[serde(default = "no_files")]
    pub files: Spanned<Files>,
    #[serde(default)]
    pub operation: Option<Spanned<Operation>>,
    #[serde(default)]
    pub job: Option<Spanned<Job>>,
}

/// `[files]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Files {
    pub count: u64,
    pub size: Size,
    pub per_directory: u64,
    pub content: Kind,
}

impl Default for Files {
    fn default() -> Files {
        Files { count: 0, size: Size(0), per_directory: 100, content: Kind::Bytes }
    }
}

/// What files hold.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Bytes,
    Text,
}

/// `[operation]`. A key that a kind has no use for is refused, so that nobody measures what he did not mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Operation {
    pub kind: Spanned<Call>,
    pub once: Option<Spanned<bool>>,
    pub force: Option<Spanned<bool>>,
    pub block: Option<Spanned<Size>>,
    pub pattern: Option<Spanned<Pattern>>,
    pub how: Option<Spanned<How>>,
    pub sync: Option<Spanned<Sync>>,
    pub hits: Option<Spanned<f64>>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    Getattr,
    Stat,
    LookupNegative,
    Readdir,
    Readdirplus,
    OpenClose,
    ReadFile,
    CreateWriteUnlink,
    MkdirRenameRmdir,
    Read,
    Write,
    BuildCache,
}

/// Where the next block of a read or write is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    Sequential,
    #[default]
    Random,
}

/// By what way data goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    #[default]
    Buffered,
    Direct,
    Mmap,
}

/// What follows each write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    #[default]
    None,
    Data,
    Full,
}

/// `[job]`: shell scripts, with the prepared directory as the working directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Job {
    #[serde(default)]
    pub needs: Vec<String>,
    pub setup: Option<String>,
    pub before: Option<String>,
    pub run: String,
    pub prints: Option<String>,
    pub copies: Option<String>,
}

/// Bytes: a number, or a string as `"4 KiB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size: bytes, or \"4 KiB\", \"64 MiB\"")
            }

            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(|_| E::custom("a size is not negative"))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                parse_size(text).map(Size).ok_or_else(|| E::custom(format!("'{text}' is no size: say \"4 KiB\"")))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn yes() -> bool {
    true
}

fn no_files() -> Spanned<Files> {
    Spanned::new(0..0, Files::default())
}

/// No file is larger: what a mistyped unit would fill a disk with.
const LARGEST: u64 = 1 << 40;
/// A read or a write holds a buffer for each client and request.
const LARGEST_BLOCK: u64 = 64 << 20;
/// Clients are threads.
const MOST_CLIENTS: u32 = 4096;
/// Each client of these calls keeps every file open.
const MOST_OPEN: u64 = 1000;

/// Reads and checks; an error is one line.
pub fn parse(name: &str, text: &str) -> Result<Spec, String> {
    let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let spec: Spec = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        format!("{name}: line {}: {}", line(at), error.message().replace('\n', "; "))
    })?;
    match check(&spec) {
        Ok(()) => Ok(spec),
        Err((at, why)) => Err(format!("{name}: line {}: {why}", line(at))),
    }
}

type Fault = (usize, String);

fn check(spec: &Spec) -> Result<(), Fault> {
    if spec.about.trim().is_empty() || spec.about.contains('\n') {
        return Err((0, "'about' is one line that says what is measured".to_owned()));
    }
    check_files(&spec.files)?;
    for number in spec.clients.iter().chain(&spec.depth) {
        if !(1..=MOST_CLIENTS).contains(number.get_ref()) {
            return Err((number.span().start, format!("{} is not between 1 and {MOST_CLIENTS}", number.get_ref())));
        }
    }
    match (&spec.operation, &spec.job) {
        (Some(operation), None) => check_operation(spec, operation),
        (None, Some(job)) => check_job(spec, job),
        (Some(_), Some(job)) => Err((job.span().start, "either [operation] or [job], not both".to_owned())),
        (None, None) => Err((0, "neither [operation] nor [job]: nothing to measure".to_owned())),
    }
}

fn check_files(files: &Spanned<Files>) -> Result<(), Fault> {
    let (at, files) = (files.span().start, files.get_ref());
    let fault = |why: &str| Err((at, format!("[files]: {why}")));
    if files.per_directory == 0 {
        return fault("'per-directory' is at least 1");
    }
    if files.count > 100_000_000 {
        return fault("'count' is at most 100000000");
    }
    if files.count.checked_mul(files.size.0).is_none_or(|bytes| bytes > LARGEST) {
        return fault("more than 1024 GiB in all");
    }
    Ok(())
}

fn check_operation(spec: &Spec, operation: &Spanned<Operation>) -> Result<(), Fault> {
    let op = operation.get_ref();
    let call = *op.kind.get_ref();
    let kind_at = op.kind.span().start;
    for (key, at) in op.keys() {
        if !call.keys().contains(&key) {
            return Err((at, format!("'{key}' means nothing to this kind of operation")));
        }
    }
    if call != Call::MkdirRenameRmdir && call != Call::LookupNegative && spec.files.get_ref().count == 0 {
        return Err((kind_at, "this kind of operation needs [files] with a 'count'".to_owned()));
    }
    if let Some(hits) = op.hits.as_ref().filter(|hits| !(0.0..=1.0).contains(hits.get_ref())) {
        return Err((hits.span().start, "'hits' is between 0 and 1".to_owned()));
    }
    let moves_blocks = matches!(call, Call::Read | Call::Write);
    if let Some(depth) = spec.depth.first().filter(|_| !moves_blocks || op.how() == How::Mmap) {
        return Err((depth.span().start, "'depth' is for reads and writes that are not mmap".to_owned()));
    }
    if moves_blocks { check_blocks(spec, op) } else { Ok(()) }
}

fn check_blocks(spec: &Spec, op: &Operation) -> Result<(), Fault> {
    let Some(block) = &op.block else {
        return Err((op.kind.span().start, "this kind of operation needs a 'block'".to_owned()));
    };
    let (at, bytes) = (block.span().start, block.get_ref().0);
    if bytes == 0 || !bytes.is_multiple_of(512) || bytes > LARGEST_BLOCK {
        return Err((at, "'block' is a multiple of 512 and at most 64 MiB".to_owned()));
    }
    if !spec.files.get_ref().size.0.is_multiple_of(bytes) || spec.files.get_ref().size.0 == 0 {
        return Err((at, "the size of the files is not a multiple of 'block'".to_owned()));
    }
    if spec.files.get_ref().count > MOST_OPEN {
        let why = format!("each client keeps all files open: 'count' is at most {MOST_OPEN}");
        return Err((op.kind.span().start, why));
    }
    if let Some(sync) = op.sync.as_ref().filter(|sync| *sync.get_ref() != Sync::None && op.how() == How::Mmap) {
        return Err((sync.span().start, "'sync' does not go with mmap".to_owned()));
    }
    Ok(())
}

fn check_job(spec: &Spec, job: &Spanned<Job>) -> Result<(), Fault> {
    let at = job.span().start;
    if let Some(number) = spec.clients.first().or(spec.depth.first()) {
        return Err((number.span().start, "a job takes neither 'clients' nor 'depth'".to_owned()));
    }
    if job.get_ref().run.trim().is_empty() {
        return Err((at, "'run' is empty".to_owned()));
    }
    if job.get_ref().copies.is_some() && spec.files.get_ref().count == 0 {
        return Err((at, "'copies' needs [files] with a 'count'".to_owned()));
    }
    Ok(())
}

impl Call {
    /// The keys that it looks at, besides `kind`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Call::Getattr => &["force"],
            Call::Stat => &["force", "once"],
            Call::LookupNegative | Call::OpenClose | Call::ReadFile => &["once"],
            Call::Read => &["block", "pattern", "how", "once"],
            Call::Write => &["block", "pattern", "how", "sync"],
            Call::BuildCache => &["hits"],
            Call::Readdir | Call::Readdirplus | Call::CreateWriteUnlink | Call::MkdirRenameRmdir => &[],
        }
    }
}

impl Operation {
    /// The keys that were given, and where.
    fn keys(&self) -> impl Iterator<Item = (&'static str, usize)> {
        fn at<T>(key: &'static str, value: &Option<Spanned<T>>) -> Option<(&'static str, usize)> {
            value.as_ref().map(|value| (key, value.span().start))
        }
        [
            at("once", &self.once),
            at("force", &self.force),
            at("block", &self.block),
            at("pattern", &self.pattern),
            at("how", &self.how),
            at("sync", &self.sync),
            at("hits", &self.hits),
        ]
        .into_iter()
        .flatten()
    }

    pub fn call(&self) -> Call {
        *self.kind.get_ref()
    }

    pub fn once(&self) -> bool {
        given(&self.once)
    }

    pub fn force(&self) -> bool {
        given(&self.force)
    }

    pub fn block(&self) -> usize {
        given(&self.block).0 as usize
    }

    pub fn pattern(&self) -> Pattern {
        given(&self.pattern)
    }

    pub fn how(&self) -> How {
        given(&self.how)
    }

    pub fn sync(&self) -> Sync {
        given(&self.sync)
    }

    /// Whether a cache that answers is part of what is measured. Read-ahead and write-back are such caches.
    pub fn may_be_cached(&self) -> bool {
        match self.call() {
            Call::Getattr => !self.force(),
            Call::Stat => !self.force() && !self.once(),
            Call::LookupNegative => !self.once(),
            Call::Read => self.how() != How::Direct && !(self.once() && self.pattern() == Pattern::Random),
            Call::Write => self.how() != How::Direct && self.sync() == Sync::None,
            _ => false,
        }
    }

    /// The part of requests that ask for what is there.
    pub fn hits(&self) -> f64 {
        self.hits.as_ref().map_or(0.9, |hits| *hits.get_ref())
    }
}

fn given<T: Copy + Default>(value: &Option<Spanned<T>>) -> T {
    value.as_ref().map(|value| *value.get_ref()).unwrap_or_default()
}
