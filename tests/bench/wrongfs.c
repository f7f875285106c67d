/* wrongfs -o source=DIR[,bytes][,size][,lost] MOUNTPOINT: DIR, but with lies. With `bytes` each read has a bit turned in
 * its first byte, with `size` each file is told to be one byte longer; nothing is kept by the kernel, so that it is asked.
 * With `lost` zeroes are stored for what is written, and the kernel keeps all that it can. */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct { const char *source; int bytes, size, lost; } opts;
static int root;
static const char zeroes[1 << 20];

static const char *below(const char *path) { return path[1] ? path + 1 : "."; }
static int result(int r) { return r < 0 ? -errno : r; }

static void *start(struct fuse_conn_info *conn, struct fuse_config *config) {
    (void)conn;
    config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
    config->use_ino = 1;
    config->direct_io = !opts.lost;
    if (opts.lost) {
        config->kernel_cache = 1;
        config->attr_timeout = config->entry_timeout = 3600;
    }
    return NULL;
}

static int get_attr(const char *path, struct stat *st, struct fuse_file_info *fi) {
    int r = fi ? fstat(fi->fh, st) : fstatat(root, below(path), st, AT_SYMLINK_NOFOLLOW);
    if (r == 0 && opts.size && S_ISREG(st->st_mode)) st->st_size++;
    return result(r);
}

static int keep(int fd, struct fuse_file_info *fi) {
    if (fd < 0) return -errno;
    fi->fh = fd;
    return 0;
}
static int open_file(const char *path, struct fuse_file_info *fi) {
    return keep(openat(root, below(path), fi->flags & ~O_DIRECT), fi);
}
static int create(const char *path, mode_t mode, struct fuse_file_info *fi) {
    return keep(openat(root, below(path), fi->flags, mode), fi);
}
static int read_file(const char *path, char *buffer, size_t size, off_t at, struct fuse_file_info *fi) {
    (void)path;
    int length = result(pread(fi->fh, buffer, size, at));
    if (length > 0 && opts.bytes) buffer[0] ^= 1;
    return length;
}
static int write_file(const char *path, const char *buffer, size_t size, off_t at, struct fuse_file_info *fi) {
    (void)path;
    if (opts.lost && size <= sizeof zeroes) buffer = zeroes;
    return result(pwrite(fi->fh, buffer, size, at));
}
static int release(const char *path, struct fuse_file_info *fi) { return (void)path, result(close(fi->fh)); }
static int make_dir(const char *path, mode_t mode) { return result(mkdirat(root, below(path), mode)); }
static int unlink_file(const char *path) { return result(unlinkat(root, below(path), 0)); }
static int remove_dir(const char *path) { return result(unlinkat(root, below(path), AT_REMOVEDIR)); }
static int change_mode(const char *path, mode_t mode, struct fuse_file_info *fi) {
    return result(fi ? fchmod(fi->fh, mode) : fchmodat(root, below(path), mode, 0));
}
static int set_size(const char *path, off_t size, struct fuse_file_info *fi) {
    if (fi) return result(ftruncate(fi->fh, size));
    int fd = openat(root, below(path), O_WRONLY), r = ftruncate(fd, size);
    close(fd);
    return result(r);
}
static int set_times(const char *path, const struct timespec times[2], struct fuse_file_info *fi) {
    return result(fi ? futimens(fi->fh, times) : utimensat(root, below(path), times, AT_SYMLINK_NOFOLLOW));
}
static int rename_file(const char *from, const char *to, unsigned flags) {
    return result(renameat2(root, below(from), root, below(to), flags));
}
static int read_dir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t at, struct fuse_file_info *fi,
                    enum fuse_readdir_flags flags) {
    (void)at, (void)fi, (void)flags;
    DIR *dir = fdopendir(openat(root, below(path), O_RDONLY | O_DIRECTORY));
    if (!dir) return -errno;
    for (struct dirent *entry; (entry = readdir(dir));) fill(buffer, entry->d_name, NULL, 0, 0);
    closedir(dir);
    return 0;
}

static const struct fuse_operations operations = {
    .init = start, .getattr = get_attr, .open = open_file, .create = create, .read = read_file, .write = write_file,
    .release = release, .mkdir = make_dir, .unlink = unlink_file, .rmdir = remove_dir, .chmod = change_mode,
    .truncate = set_size, .utimens = set_times, .rename = rename_file, .readdir = read_dir,
};

#define FLAG(name) {#name, offsetof(__typeof__(opts), name), 1}
int main(int argc, char **argv) {
    struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
    const struct fuse_opt known[] = {{"source=%s", 0, 0}, FLAG(bytes), FLAG(size), FLAG(lost), FUSE_OPT_END};
    if (fuse_opt_parse(&args, &opts, known, NULL) || !opts.source) return 2;
    root = open(opts.source, O_PATH | O_DIRECTORY);
    return root < 0 ? 2 : fuse_main(args.argc, args.argv, &operations, NULL);
}
