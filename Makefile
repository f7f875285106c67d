# make                builds ptfs
# make install        installs it, and links it to where mount(8) looks for `mount -t ptfs` and `mount -t fuse.ptfs`
# make uninstall      removes what install has installed
#
# PREFIX is where the binary goes, DESTDIR what packagers stage into. MOUNTDIR is where mount(8) looks for its helpers:
# /sbin, which is a link to /usr/sbin on most systems (say MOUNTDIR=/usr/sbin to stage a package for those).
PREFIX ?= /usr/local
MOUNTDIR ?= /sbin
INSTALL ?= install
CARGO ?= cargo
CARGO_TARGET_DIR ?= target
BINARY ?= $(CARGO_TARGET_DIR)/release/ptfs
BENCH ?= $(BINARY)-bench

bindir = $(PREFIX)/bin
helpers = mount.ptfs mount.fuse.ptfs

.PHONY: all install install-bin install-helpers uninstall

all:
	$(CARGO) build --release --locked

install: install-bin install-helpers

install-bin:
	@test -x '$(BINARY)' || { echo "no $(BINARY): run make first" >&2; exit 1; }
	$(INSTALL) -d '$(DESTDIR)$(bindir)'
	$(INSTALL) -m 755 '$(BINARY)' '$(DESTDIR)$(bindir)/ptfs'
	if [ -x '$(BENCH)' ]; then $(INSTALL) -m 755 '$(BENCH)' '$(DESTDIR)$(bindir)/ptfs-bench'; fi

install-helpers:
	$(INSTALL) -d '$(DESTDIR)$(MOUNTDIR)'
	for helper in $(helpers); do ln -sf '$(bindir)/ptfs' "$(DESTDIR)$(MOUNTDIR)/$$helper" || exit; done

uninstall:
	rm -f '$(DESTDIR)$(bindir)/ptfs' '$(DESTDIR)$(bindir)/ptfs-bench'
	for helper in $(helpers); do rm -f "$(DESTDIR)$(MOUNTDIR)/$$helper"; done

# What goes beside the binary.
-include packaging/install.mk
