//! `--config FILE`: a TOML file whose keys are the long flags. It stands before the command line, so that wins.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use super::cli::said;
use super::dialect::{Manner, Translation, translate};
use super::options::nearest;

/// What is no flag, but a key.
const PATHS: [&str; 2] = ["source", "mountpoint"];

/// Reads the file as a command line of flags `own`. An error names the file and the key.
pub fn read(path: &Path, own: &Command) -> Result<Translation, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        format!("{shown}: line {line}: {}", error.message().replace('\n', "; "))
    })?;
    let mut whole = Translation::default();
    for (key, value) in &table {
        let read = read_key(key, value, own).map_err(|why| format!("{shown}: {why}"))?;
        whole.flags.extend(read.flags);
        whole.notes.extend(read.notes);
        whole.source = read.source.or(whole.source);
        whole.mountpoint = read.mountpoint.or(whole.mountpoint);
    }
    Ok(whole)
}

fn read_key(key: &str, value: &Value, own: &Command) -> Result<Translation, String> {
    if PATHS.contains(&key) {
        let path = value.as_str().ok_or_else(|| format!("key '{key}' takes a path"))?;
        let path = Some(OsString::from(path));
        return Ok(match key {
            "source" => Translation { source: path, ..Translation::default() },
            _ => Translation { mountpoint: path, ..Translation::default() },
        });
    }
    let flag = flags(own).find(|(name, _)| *name == key);
    let Some((_, flag)) = flag else {
        let hint = nearest(key, flags(own).map(|(name, _)| name).chain(PATHS));
        let hint = hint.map(|name| format!("; there is '{name}'")).unwrap_or_default();
        return Err(format!("unknown key '{key}'{hint}"));
    };
    let arguments = arguments(key, value, flag)?;
    let wrong = |why| format!("key '{key}': {why}");
    let read = translate(&arguments, Manner::default(), own).map_err(wrong)?;
    // By itself, so that what is wrong is known to be wrong here. The paths are not looked at.
    let check = [OsString::from("ptfs")].into_iter().chain(read.flags.iter().cloned()).chain(["/".into(), "/".into()]);
    own.clone().try_get_matches_from(check).map_err(|error| wrong(said(&error)))?;
    Ok(read)
}

/// The flags that may be keys.
fn flags(own: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    own.get_arguments()
        .filter_map(|flag| flag.get_long().map(|name| (name, flag)))
        .filter(|(name, _)| *name != "config")
}

fn arguments(key: &str, value: &Value, flag: &Arg) -> Result<Vec<OsString>, String> {
    if !flag.get_action().takes_values() {
        let set = value.as_bool().ok_or_else(|| format!("key '{key}' takes true or false"))?;
        return Ok(set.then(|| format!("--{key}").into()).into_iter().collect());
    }
    let values = match (value, flag.get_action()) {
        (Value::Array(values), ArgAction::Append) => values.as_slice(),
        (value, _) => std::slice::from_ref(value),
    };
    values.iter().map(|value| Ok(format!("--{key}={}", text(key, value)?).into())).collect()
}

fn text(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        Value::Array(_) => Err(format!("key '{key}' takes one value")),
        Value::Datetime(_) | Value::Table(_) => Err(format!("key '{key}' takes a text or a number")),
    }
}
