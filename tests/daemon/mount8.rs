//! `mount -t fuse.ptfs`, `mount -t ptfs` and `mount -t fuse ptfs#SOURCE`. mount(8) looks for its helpers in `/sbin`, so
//! each test has a mount namespace of its own, with links to ptfs there, the one by which mount.fuse finds it included.

use std::process::{Command, Output};

use crate::harness::{PTFS, Scratch, run};

/// Makes the links, runs `script` with `$S` to serve and `$M` to mount at, and leaves no mount behind.
fn in_a_namespace(scratch: &Scratch, script: &str) -> Output {
    let prepare = r#"
        # The mounts of other tests came along; kept here they would outlive their unmount there.
        awk '$3 ~ /^fuse/ { print $2 }' /proc/self/mounts | while read -r point; do umount -l "$point"; done
        set -e
        sbin=$(realpath /sbin)
        mount -t tmpfs ptfs-test "$T"
        mkdir "$T/upper" "$T/work"
        ln -s "$PTFS" "$T/upper/mount.fuse.ptfs"
        ln -s "$PTFS" "$T/upper/mount.ptfs"
        ln -s "$PTFS" "$T/upper/ptfs"
        mount -t overlay -o "lowerdir=$sbin,upperdir=$T/upper,workdir=$T/work" ptfs-test "$sbin"
        trap 'umount -l "$M" 2>/dev/null' EXIT
        set +e
    "#;
    let tools = scratch.path("tools");
    std::fs::create_dir_all(&tools).expect("new");
    let mut command = Command::new("timeout");
    command.args(["60", "unshare", "-m", "--propagation", "private", "sh", "-c", &format!("{prepare}\n{script}")]);
    command.env("T", tools).env("S", scratch.source()).env("M", scratch.mnt()).env("PTFS", PTFS);
    run(&mut command)
}

fn expect(scratch: &Scratch, script: &str) {
    let output = in_a_namespace(scratch, script);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{:?}\n{said}", output.status);
}

#[test]
fn it_is_a_file_system_type() {
    for name in ["fuse.ptfs", "ptfs"] {
        let script = format!(
            r#"
            mount -t {name} "$S" "$M" -o ro,noatime,nofail,_netdev,x-systemd.automount || exit 10
            [ "$(cat "$M/hello")" = hello ] || exit 11
            grep " $M fuse.ptfs ro,noatime," /proc/self/mounts || exit 12
            grep " $M " /proc/self/mounts | grep -E "nodev|nosuid" && exit 13
            umount "$M" || exit 14
            mount -t {name} "$S" "$M" -o nodev,user || exit 15
            grep " $M " /proc/self/mounts | grep nodev | grep noexec || exit 16
            mount -o remount,ro "$M" || exit 17
            touch "$M/new" 2>/dev/null && exit 18
            umount "$M" || exit 19
        "#
        );
        expect(&Scratch::new(), &script);
    }
}

#[test]
fn fstab_knows_it() {
    let script = r#"
        echo "$S $M fuse.ptfs noauto,nofail,allow_other,max_read=65536 0 0" >"$T/fstab"
        mount -T "$T/fstab" "$M" || exit 10
        [ "$(cat "$M/hello")" = hello ] || exit 11
        grep " $M " /proc/self/mounts | grep allow_other | grep max_read=65536 || exit 12
        umount "$M" || exit 13
    "#;
    expect(&Scratch::new(), script);
}

#[test]
fn mount_fuse_starts_it_too() {
    let script = r#"
        [ "$(cat "$M/hello" 2>/dev/null)" = hello ] && exit 10
        mount -t fuse "ptfs#$S" "$M" -o noatime || exit 11
        [ "$(cat "$M/hello")" = hello ] || exit 12
        grep " $M " /proc/self/mounts | grep -E "nodev|nosuid" && exit 13
        umount "$M" || exit 14
    "#;
    expect(&Scratch::new(), script);
}

#[test]
fn its_exit_codes_are_those_of_mount() {
    let script = r#"
        mount -t fuse.ptfs "$S" "$M" -o bogus 2>"$T/said"; [ $? = 1 ] || exit 10
        grep "unknown mount option 'bogus'" "$T/said" || exit 11
        mount -t fuse.ptfs "$S/missing" "$M" 2>"$T/said"; [ $? = 32 ] || exit 12
        grep "missing: No such file" "$T/said" || exit 13
        mount -s -t fuse.ptfs "$S" "$M" -o bogus || exit 14
        umount "$M" || exit 15
        mount -f -t fuse.ptfs "$S" "$M" || exit 16
        grep " $M " /proc/self/mounts && exit 17
        mount -t fuse "ptfs#$S/missing" "$M" 2>"$T/said"; [ $? = 32 ] || exit 18
        exit 0
    "#;
    expect(&Scratch::new(), script);
}
