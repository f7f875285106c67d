//! ioctl(2) and poll(2).

use super::*;

const FS_IOC_GETFLAGS: u64 = 0x8008_6601;
const FS_IOC_SETFLAGS: u64 = 0x4008_6602;
const FS_IOC_FSGETXATTR: u64 = 0x801c_581f;
const FS_IOC_FSSETXATTR: u64 = 0x401c_5820;
const FS_IOC_ENABLE_VERITY: u64 = 0x4080_6685;
const FS_IOC_MEASURE_VERITY: u64 = 0xc004_6686;
const FS_NODUMP_FL: u32 = 0x40;
const FS_IMMUTABLE_FL: u32 = 0x10;

fn ioctl(fd: i32, command: u64, argument: &mut [u8]) -> Sys<i32> {
    // SAFETY: the argument is as large as the command's number says, or larger.
    match unsafe { libc::ioctl(fd, command as _, argument.as_mut_ptr()) } {
        -1 => Err(sys::errno()),
        answer => Ok(answer),
    }
}

fn flags(path: &[u8]) -> Sys<u32> {
    let fd = sys::open(path, O_RDONLY, 0)?;
    let mut argument = [0; 8];
    let answer = ioctl(fd, FS_IOC_GETFLAGS, &mut argument);
    sys::close(fd)?;
    answer.map(|_| u32::from_ne_bytes(argument[..4].try_into().unwrap()))
}

fn set_flags(path: &[u8], flags: u32) -> Sys<i32> {
    let fd = sys::open(path, O_RDONLY, 0)?;
    let answer = ioctl(fd, FS_IOC_SETFLAGS, &mut u64::from(flags).to_ne_bytes());
    sys::close(fd)?;
    answer
}

/// What lsattr(1) and chattr(1) do, on files and directories.
pub fn file_flags(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    ok(sys::mkdir(dir.path("d"), 0o755));
    for name in ["f", "d"] {
        let (mount, host) = (dir.path(name), sys::b(&dir.on_host(name)).to_vec());
        let before = ok(flags(&host));
        assert_eq!(flags(&mount), Ok(before));
        ok(set_flags(&mount, before | FS_NODUMP_FL));
        assert_eq!(flags(&host), Ok(before | FS_NODUMP_FL));
        assert_eq!(as_user(&OUTSIDER, || set_flags(&mount, before)), Err(libc::EPERM));
        ok(set_flags(&mount, before));
        assert_eq!(flags(&host), Ok(before));
    }
    let path = dir.path("f");
    let before = ok(flags(&path));
    ok(set_flags(&path, before | FS_IMMUTABLE_FL));
    let answers = [sys::open(&path, O_WRONLY, 0).map(|_| 0), sys::unlink(&path)];
    ok(set_flags(&path, before));
    answers.into_iter().for_each(|answer| fails(answer, libc::EPERM));
}

pub fn extended_flags(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    let read = |path: &[u8]| -> Sys<[u8; 28]> {
        let fd = sys::open(path, O_RDONLY, 0)?;
        let mut argument = [0; 28];
        let answer = ioctl(fd, FS_IOC_FSGETXATTR, &mut argument);
        sys::close(fd)?;
        answer.map(|_| argument)
    };
    let host = sys::b(&dir.on_host("f")).to_vec();
    let before = ok(read(&host));
    assert_eq!(read(&dir.path("f")), Ok(before));
    // fsx_xflags: FS_XFLAG_NODUMP.
    let mut with = before;
    with[0] |= 0x80;
    let fd = dir.open("f", O_RDONLY);
    ok(ioctl(fd, FS_IOC_FSSETXATTR, &mut with));
    ok(sys::close(fd));
    assert_eq!(ok(read(&host))[0], with[0]);
}

/// Each is refused as the host refuses it, or done where the host can.
pub fn other_commands(dir: &Dir) {
    dir.file("f", b"content", 0o644);
    let host = ok(sys::open(sys::b(&dir.on_host("f")), O_RDONLY, 0));
    let mount = dir.open("f", O_RDONLY);
    for command in [FS_IOC_ENABLE_VERITY, FS_IOC_MEASURE_VERITY, libc::TCGETS, 0x4004_7a7a] {
        let ask = |fd| {
            let mut argument = [0; 256];
            // struct fsverity_enable_arg: version, hash_algorithm, block_size.
            if command == FS_IOC_ENABLE_VERITY {
                argument[..12].copy_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0, 0, 16, 0, 0]);
            }
            ioctl(fd, command, &mut argument)
        };
        assert_eq!(ask(mount), ask(host), "{command:#x}");
    }
    ok(sys::close(host));
    ok(sys::close(mount));
}

pub fn files_are_always_ready(dir: &Dir) {
    dir.file("f", b"", 0o644);
    let ask = |fd, events| {
        let mut one = libc::pollfd { fd, events, revents: 0 };
        // SAFETY: one struct pollfd.
        assert!(unsafe { libc::poll(&mut one, 1, 0) } >= 0);
        one.revents
    };
    let host = ok(sys::open(sys::b(&dir.on_host("f")), O_RDWR, 0));
    let mount = dir.open("f", O_RDWR);
    for events in [libc::POLLIN, libc::POLLOUT, libc::POLLIN | libc::POLLOUT | libc::POLLPRI, 0] {
        assert_eq!(ask(mount, events), ask(host, events), "{events:#x}");
    }
    ok(sys::close(host));
    ok(sys::close(mount));
}
