//! Under which names extended attributes are stored: virtiofsd's `--xattrmap`, as a pure function of a name.
//!
//! Rules are tried in order, and the first that matches decides. A name that none matches is treated as `bad`.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::str::FromStr;

use crate::protocol::Errno;

/// What a rule does with a name that it matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Puts the prefix before the client's name, and takes it from the host's.
    Prefix,
    /// Leaves the name as it is.
    Ok,
    /// Hides it; EPERM for whoever names it.
    Bad,
    /// Hides it; EOPNOTSUPP for whoever names it.
    Unsupported,
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rule {
    kind: Kind,
    /// For names that come from the client.
    client: bool,
    /// For names that the host lists.
    server: bool,
    /// What a client's name starts with.
    key: String,
    /// What a host's name starts with.
    prepend: String,
}

/// All rules of a mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct XattrMap {
    rules: Vec<Rule>,
}

impl XattrMap {
    /// The host's name for what a client calls `name`. EPERM or EOPNOTSUPP if it must not be named.
    pub fn to_host<'n>(&self, name: &'n CStr) -> Result<Cow<'n, CStr>, Errno> {
        let bytes = name.to_bytes();
        let rule = self.rules.iter().find(|rule| rule.client && bytes.starts_with(rule.key.as_bytes()));
        match rule.map(|rule| (rule.kind, &rule.prepend)) {
            Some((Kind::Ok, _)) => Ok(Cow::Borrowed(name)),
            Some((Kind::Prefix, prepend)) => {
                let name = CString::new([prepend.as_bytes(), bytes].concat()).map_err(|_| Errno::EINVAL)?;
                Ok(Cow::Owned(name))
            }
            Some((Kind::Unsupported, _)) => Err(Errno::EOPNOTSUPP),
            Some((Kind::Bad, _)) | None => Err(Errno::EPERM),
        }
    }

    /// The client's name for what the host calls `name`; `None` if it is hidden.
    pub fn to_client<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        let rule = self.rules.iter().find(|rule| rule.server && name.starts_with(rule.prepend.as_bytes()))?;
        match rule.kind {
            Kind::Ok => Some(name),
            Kind::Prefix => name.get(rule.prepend.len()..).filter(|rest| !rest.is_empty()),
            Kind::Bad | Kind::Unsupported => None,
        }
    }

    /// True if both sides call it the same.
    pub fn keeps(&self, name: &CStr) -> bool {
        self.to_host(name).is_ok_and(|host| *host == *name) && self.to_client(name.to_bytes()) == Some(name.to_bytes())
    }

    /// True if the host has another name for it.
    pub fn renames(&self, name: &CStr) -> bool {
        self.to_host(name).is_ok_and(|host| *host != *name)
    }
}

/// Cuts the next field off, up to its separator.
fn field<'t>(rest: &mut &'t str, separator: char, what: &str) -> Result<&'t str, String> {
    let (field, after) = rest.split_once(separator).ok_or_else(|| format!("{what} must end with '{separator}'"))?;
    *rest = after;
    Ok(field)
}

/// What `:map:key:prepend:` stands for: neither side can reach under the other's names.
fn map(key: &str, prepend: &str) -> Vec<Rule> {
    let rule = |kind, (client, server), key: &str, prepend: &str| Rule {
        kind,
        client,
        server,
        key: key.to_owned(),
        prepend: prepend.to_owned(),
    };
    let both = (true, true);
    if key.is_empty() {
        return vec![rule(Kind::Prefix, both, "", prepend), rule(Kind::Bad, both, "", "")];
    }
    vec![
        rule(Kind::Prefix, both, key, prepend),
        rule(Kind::Bad, (false, true), "", key),
        rule(Kind::Bad, (true, false), prepend, ""),
        rule(Kind::Ok, both, "", ""),
    ]
}

impl FromStr for XattrMap {
    type Err = String;

    fn from_str(text: &str) -> Result<XattrMap, String> {
        let (mut rules, mut rest) = (Vec::new(), text.trim_start());
        while let Some(separator) = rest.chars().next() {
            if separator.is_alphanumeric() {
                return Err(format!("a rule must begin with its separator, not with '{separator}'"));
            }
            rest = &rest[separator.len_utf8()..];
            let kind = match field(&mut rest, separator, "a rule's type")? {
                "prefix" => Kind::Prefix,
                "ok" => Kind::Ok,
                "bad" => Kind::Bad,
                "unsupported" => Kind::Unsupported,
                "map" => {
                    let key = field(&mut rest, separator, "the key of a map rule")?;
                    let prepend = field(&mut rest, separator, "the prefix of a map rule")?;
                    if !rest.trim().is_empty() {
                        return Err("a map rule must be the last".to_owned());
                    }
                    rules.extend(map(key, prepend));
                    break;
                }
                other => {
                    return Err(format!("unknown type '{other}'; there are prefix, ok, bad, unsupported and map"));
                }
            };
            let (client, server) = match field(&mut rest, separator, "a rule's scope")? {
                "client" => (true, false),
                "server" => (false, true),
                "all" => (true, true),
                other => return Err(format!("unknown scope '{other}'; there are client, server and all")),
            };
            let key = field(&mut rest, separator, "a rule's key")?.to_owned();
            let prepend = field(&mut rest, separator, "a rule's prefix")?.to_owned();
            rules.push(Rule { kind, client, server, key, prepend });
            rest = rest.trim_start();
        }
        if rules.is_empty() {
            return Err("there is no rule".to_owned());
        }
        Ok(XattrMap { rules })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map_of(text: &str) -> XattrMap {
        text.parse().unwrap_or_else(|line| panic!("{text}: {line}"))
    }

    /// What the host is asked for, and what the client sees of it in a list.
    #[track_caller]
    fn assert_maps(map: &XattrMap, client: &CStr, host: Result<&CStr, Errno>) {
        let mapped = map.to_host(client);
        assert_eq!(mapped.as_deref().map_err(|e| *e), host);
        if let Ok(host) = host {
            assert_eq!(map.to_client(host.to_bytes()), Some(client.to_bytes()));
        }
    }

    #[test]
    fn everything_gets_a_prefix() {
        let long = map_of(":prefix:all::user.virtiofs.::bad:all:::");
        assert_eq!(map_of(":map::user.virtiofs.:"), long);
        assert_maps(&long, c"trusted.x", Ok(c"user.virtiofs.trusted.x"));
        assert_maps(&long, c"user.virtiofs.x", Ok(c"user.virtiofs.user.virtiofs.x"));
        assert_eq!((long.to_client(b"user.own"), long.to_client(b"user.virtiofs.")), (None, None));
        assert!(long.renames(c"security.capability") && !long.keeps(c"security.capability"));
    }

    #[test]
    fn some_get_a_prefix_and_nobody_gets_around_it() {
        let long = map_of(
            "/prefix/all/trusted./user.virtiofs./
             /bad/server//trusted./
             /bad/client/user.virtiofs.//
             /ok/all///  ",
        );
        assert_eq!(map_of(" /map/trusted./user.virtiofs./ "), long);
        assert_maps(&long, c"trusted.x", Ok(c"user.virtiofs.trusted.x"));
        assert_maps(&long, c"user.x", Ok(c"user.x"));
        assert_maps(&long, c"user.virtiofs.trusted.x", Err(Errno::EPERM));
        assert_eq!(long.to_client(b"trusted.hosts_own"), None);
        assert!(long.keeps(c"user.x") && !long.keeps(c"trusted.x"));
    }

    #[test]
    fn names_are_hidden_in_two_ways() {
        let map = map_of("|unsupported|all|security.selinux|security.selinux||bad|all|security.|security.||ok|all|||");
        assert_maps(&map, c"security.selinux", Err(Errno::EOPNOTSUPP));
        assert_maps(&map, c"security.capability", Err(Errno::EPERM));
        assert_maps(&map, c"user.x", Ok(c"user.x"));
        assert_eq!((map.to_client(b"security.selinux"), map.to_client(b"security.capability")), (None, None));
        assert!(!map.renames(c"security.capability"));
    }

    #[test]
    fn scopes_are_told_apart() {
        let map = map_of(":prefix:client:trusted.:user.virtiofs.::ok:server::user.virtiofs.::ok:all:::");
        assert_eq!(map.to_host(c"trusted.x").as_deref(), Ok(c"user.virtiofs.trusted.x"));
        assert_eq!(map.to_client(b"user.virtiofs.trusted.x"), Some(&b"user.virtiofs.trusted.x"[..]));
    }

    #[test]
    fn what_no_rule_matches_is_hidden() {
        let map = map_of(":ok:all:user.:user.:");
        assert_maps(&map, c"trusted.x", Err(Errno::EPERM));
        assert_eq!(map.to_client(b"trusted.x"), None);
    }

    #[test]
    fn bad_rules_are_told_in_a_line() {
        for (text, part) in [
            ("", "no rule"),
            ("   ", "no rule"),
            ("ok:all:::", "separator"),
            (":okay:all:::", "'okay'"),
            (":ok:everyone:::", "'everyone'"),
            (":ok:all:", "key"),
            (":ok:all:x:y", "prefix"),
            (":map:x:", "prefix"),
            (":map::x.::ok:all:::", "last"),
            (":ok", "type"),
        ] {
            let line = text.parse::<XattrMap>().expect_err(text);
            assert!(line.contains(part) && !line.contains('\n'), "{text}: {line}");
        }
    }
}
