/* slowfs -o source=DIR MOUNTPOINT: DIR, read-only, in which each read of a file whose name begins with "slow" takes a
 * second. All else may be kept by the kernel for ever, so that what was read once is hot. */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct { const char *source; } opts;
static int root;

static const char *below(const char *path) { return path[1] ? path + 1 : "."; }
static int result(int r) { return r < 0 ? -errno : r; }

static void *start(struct fuse_conn_info *conn, struct fuse_config *config) {
    (void)conn;
    config->attr_timeout = config->entry_timeout = 3600;
    config->use_ino = config->kernel_cache = 1;
    return NULL;
}

static int get_attr(const char *path, struct stat *st, struct fuse_file_info *fi) {
    (void)fi;
    return result(fstatat(root, below(path), st, AT_SYMLINK_NOFOLLOW));
}

static int open_file(const char *path, struct fuse_file_info *fi) {
    int fd = openat(root, below(path), O_RDONLY);
    if (fd < 0) return -errno;
    fi->fh = fd;
    fi->keep_cache = strncmp(below(path), "slow", 4) != 0;
    fi->direct_io = !fi->keep_cache;
    return 0;
}

static int read_file(const char *path, char *buffer, size_t size, off_t at, struct fuse_file_info *fi) {
    if (!strncmp(below(path), "slow", 4)) sleep(1);
    return result(pread(fi->fh, buffer, size, at));
}

static int release(const char *path, struct fuse_file_info *fi) {
    (void)path;
    return result(close(fi->fh));
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
    .init = start, .getattr = get_attr, .open = open_file, .read = read_file, .release = release, .readdir = read_dir,
};

int main(int argc, char **argv) {
    struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
    static const struct fuse_opt known[] = {{"source=%s", 0, 0}, FUSE_OPT_END};
    if (fuse_opt_parse(&args, &opts, known, NULL) || !opts.source) return 2;
    root = open(opts.source, O_PATH | O_DIRECTORY);
    return root < 0 ? 2 : fuse_main(args.argc, args.argv, &operations, NULL);
}
