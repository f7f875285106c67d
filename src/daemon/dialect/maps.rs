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
    match value.split(':').collect::<Vec<_>>()[..] {
        ["map", guest, host, count] => Ok(vec![format!("--{kind}-mapping={host}:{guest}:{count}")]),
        _ => Err("only map:SOURCE:TARGET:COUNT is understood".to_owned()),
    }
}

/// `bindfs --map`: `1000/1001:@100/@101`, shown on the left what the host has, on the right what the mount shows.
pub fn bindfs_map(value: &str) -> Result<Vec<String>, String> {
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for pair in value.split(':').filter(|pair| !pair.is_empty()) {
        let (host, shown) = pair.split_once('/').ok_or_else(|| format!("'{pair}' is no pair of ids a/b"))?;
        let (list, host, shown) = match (host.strip_prefix('@'), shown.strip_prefix('@')) {
            (Some(host), Some(shown)) => (&mut groups, host, shown),
            _ => (&mut users, host, shown),
        };
        for id in [host, shown] {
            id.parse::<u32>().map_err(|_| format!("'{id}' is no number: names are not looked up, use `id`"))?;
        }
        list.push(format!("{host}:{shown}:1"));
    }
    let flag = |kind: &str, list: &[String]| (!list.is_empty()).then(|| format!("--{kind}-mapping={}", list.join(":")));
    Ok(flag("uid", &users).into_iter().chain(flag("gid", &groups)).collect())
}
