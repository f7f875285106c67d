//! The flags that say who owns what is shown, and as whom callers act.

use clap::Args;

use crate::core::config::Config;
use crate::core::idmap::{IdMap, Identity, Squash};
use crate::sys::process;

/// Flags of the heading Identity.
#[derive(Args, Debug)]
pub struct IdMapFlags {
    /// Show the host's uids HOST.. as SHOWN.., and those not named as nobody's (as an idmapped mount does); translates
    /// chown, ACLs, capabilities and callers back. For a plain user: files are still made as that user
    #[arg(long, value_name = "HOST:SHOWN:LENGTH[:...]", help_heading = "Identity")]
    uid_mapping: Option<IdMap>,

    /// The same for gids
    #[arg(long, value_name = "HOST:SHOWN:LENGTH[:...]", help_heading = "Identity")]
    gid_mapping: Option<IdMap>,

    /// Let all callers act on the host as this one user (as NFS's all_squash does): it owns what they make, and the
    /// host checks its rights in place of theirs. A plain user can name only himself
    #[arg(long, value_name = "UID:GID", help_heading = "Identity")]
    squash_to: Option<Squash>,
}

impl IdMapFlags {
    /// The config with what the flags say; what contradicts itself is an error.
    pub fn apply(&self, config: Config) -> Result<Config, String> {
        let (uids, gids) = (self.uid_mapping.clone().unwrap_or_default(), self.gid_mapping.clone().unwrap_or_default());
        if let Some(Squash { uid, gid }) = self.squash_to {
            for (flag, map, id) in [("--uid-mapping", &uids, uid.0), ("--gid-mapping", &gids, gid.0)] {
                if map.shown(id).is_none() {
                    return Err(format!("--squash-to makes files of {id}, which {flag} shows as nobody's"));
                }
            }
            let ((own_uid, own_gid), root) = process::effective();
            if !root && (uid.0, gid.0) != (own_uid, own_gid) {
                return Err(format!("--squash-to={}:{} needs root; you are {own_uid}:{own_gid}", uid.0, gid.0));
            }
        }
        Ok(Config { mapping: Identity { uids, gids, squash: self.squash_to }, ..config })
    }
}
