//! Values that say something in another tongue.

/// `virtiofsd --log-level`, and `-o log_level=` of its forerunner in C.
pub fn log_level(level: &str) -> Result<Vec<String>, String> {
    let level = if level == "err" { "error" } else { level };
    Ok(vec![format!("--log={level}")])
}

/// `virtiofsd --inode-file-handles`.
pub fn file_handles(value: &str) -> Result<Vec<String>, String> {
    let ours = match value {
        "never" => "never",
        "prefer" => "auto",
        "mandatory" => "always",
        _ => return Err("must be never, prefer or mandatory".to_owned()),
    };
    Ok(vec![format!("--inode-handles={ours}")])
}

/// `virtiofsd --sandbox` and `--seccomp`: nothing is what ptfs does by itself, and more it does not claim to do.
pub fn no_sandbox(value: &str) -> Result<Vec<String>, String> {
    match value {
        "none" => Ok(Vec::new()),
        _ => Err("ptfs confines itself in no way; a service manager can (systemd: ProtectSystem=, \
                  SystemCallFilter=), so say none"
            .to_owned()),
    }
}

/// `virtiofsd --translate-uid`: `map:GUEST:HOST:COUNT`.
pub fn translate_uid(value: &str) -> Result<Vec<String>, String> {
    translated("uid", value)
}

/// `virtiofsd --translate-gid`.
pub fn translate_gid(value: &str) -> Result<Vec<String>, String> {
    translated("gid", value)
}

fn translated(kind: &str, value: &str) -> Result<Vec<String>, String> {
    let ["map", shown, host, count] = value.split(':').collect::<Vec<_>>()[..] else {
        return Err("only map:SOURCE:TARGET:COUNT is understood".to_owned());
    };
    let range = Range { host: id(host)?, shown: id(shown)?, count: id(count)? };
    Ok(vec![mapping(kind, vec![range])])
}

/// `bindfs --map`: `1000/1001:@100/@101`, with the host's id on the left, and that which the mount shows on the right.
pub fn bindfs_map(value: &str) -> Result<Vec<String>, String> {
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for pair in value.split(':').filter(|pair| !pair.is_empty()) {
        let (host, shown) = pair.split_once('/').ok_or_else(|| format!("'{pair}' is no pair of ids a/b"))?;
        let (list, host, shown) = match (host.strip_prefix('@'), shown.strip_prefix('@')) {
            (Some(host), Some(shown)) => (&mut groups, host, shown),
            _ => (&mut users, host, shown),
        };
        list.push(Range { host: id(host)?, shown: id(shown)?, count: 1 });
    }
    let lists = [("uid", users), ("gid", groups)].into_iter().filter(|(_, list)| !list.is_empty());
    Ok(lists.map(|(kind, list)| mapping(kind, list)).collect())
}

fn id(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("'{text}' is no number: names are not looked up, see id(1)"))
}

/// `count` ids of the host from `host` on are shown as `shown` and those that follow.
struct Range {
    host: u32,
    shown: u32,
    count: u32,
}

/// What comes after the last id; those beyond stand for nobody.
const END: u64 = (1 << 32) - 2;

/// The flag for these ranges. Others leave ids as they are that they do not name, where ptfs shows nobody's: so it is
/// told of them, but for those that would be shown twice.
fn mapping(kind: &str, ranges: Vec<Range>) -> String {
    let mut words: Vec<String> =
        ranges.iter().map(|range| format!("{}:{}:{}", range.host, range.shown, range.count)).collect();
    let taken = ranges.iter().flat_map(|range| [range.host, range.shown].map(|start| (start, range.count)));
    let mut taken: Vec<(u64, u64)> = taken.map(|(start, count)| (start.into(), count.into())).collect();
    taken.sort_unstable();
    taken.push((END, 0));
    let mut free = 0;
    for (start, count) in taken {
        if start > free {
            words.push(format!("{free}:{free}:{}", start - free));
        }
        free = free.max(start + count);
    }
    format!("--{kind}-mapping={}", words.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_not_named_stay_as_they_are() {
        let flag = |pairs: &str| bindfs_map(pairs).expect("numbers").concat();
        assert_eq!(flag("1000/1001:1001/1000"), "--uid-mapping=1000:1001:1:1001:1000:1:0:0:1000:1002:1002:4294966292");
        assert_eq!(flag("@0/@5"), "--gid-mapping=0:5:1:1:1:4:6:6:4294967288");
        let flag = translate_uid("map:0:1000:10").expect("numbers").concat();
        assert_eq!(flag, "--uid-mapping=1000:0:10:10:10:990:1010:1010:4294966284");
        assert!(translate_uid("squash-guest:0:1:2").is_err() && translate_uid("map:0:1").is_err());
    }
}
