# What is installed beside the binary. `include packaging/install.mk` in a Makefile adds it to install and uninstall; by
# itself `make -f packaging/install.mk install` does this part alone. Variables are those of the Makefile; GENERATE is a
# ptfs that runs here, if BINARY is for another machine.
PREFIX ?= /usr/local
INSTALL ?= install
CARGO_TARGET_DIR ?= target
BINARY ?= $(CARGO_TARGET_DIR)/release/ptfs
GENERATE ?= $(BINARY)

packaging := $(dir $(lastword $(MAKEFILE_LIST)))
bindir = $(PREFIX)/bin
share = $(PREFIX)/share
# Each as WHAT:FILE.
generated = man:$(share)/man/man1/ptfs.1 bash:$(share)/bash-completion/completions/ptfs \
	zsh:$(share)/zsh/site-functions/_ptfs fish:$(share)/fish/vendor_completions.d/ptfs.fish
unit = $(PREFIX)/lib/systemd/system/ptfs@.service
doc = $(share)/doc/ptfs
documents = ptfs.toml.example grafana.json prometheus/alerts.yml

.PHONY: install uninstall install-extras uninstall-extras

install: install-extras
uninstall: uninstall-extras

install-extras:
	set -e; for pair in $(generated); do \
		$(INSTALL) -d "$$(dirname "$(DESTDIR)$${pair#*:}")"; \
		'$(GENERATE)' generate "$${pair%%:*}" >"$(DESTDIR)$${pair#*:}"; \
		chmod 644 "$(DESTDIR)$${pair#*:}"; \
	done
	$(INSTALL) -d '$(DESTDIR)$(dir $(unit))' '$(DESTDIR)$(doc)'
	sed 's,/usr/bin/ptfs,$(bindir)/ptfs,' '$(packaging)ptfs@.service' >'$(DESTDIR)$(unit)'
	chmod 644 '$(DESTDIR)$(unit)'
	set -e; for name in $(documents); do $(INSTALL) -m 644 "$(packaging)$$name" '$(DESTDIR)$(doc)'; done

uninstall-extras:
	for pair in $(generated); do rm -f "$(DESTDIR)$${pair#*:}"; done
	rm -f '$(DESTDIR)$(unit)' $(foreach name,$(documents),'$(DESTDIR)$(doc)/$(notdir $(name))')
	rmdir '$(DESTDIR)$(doc)' 2>/dev/null || true
