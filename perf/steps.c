// Counts the instructions that a thread of a daemon executes in its own code for each getattr of a client: exact, where
// clocks are too noisy and no counter of the CPU is to be had. A system call counts as one.
//
//   steps TID PATH CPU
//
// A client on CPU asks the mount for the attributes of PATH (statx with AT_STATX_FORCE_SYNC) 50 times and then 150 times,
// while TID, the thread that serves that CPU, is single-stepped (ptrace(2)); the difference is that of 100. All three are
// kept on that CPU, as each step is two context switches. TRACE=FILE in the environment writes down where the instructions
// of the first 50 lie, for addr2line(1).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *trace; // where the addresses of instructions go, if anybody wants them

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static pid_t ask(const char *path, int times)
{
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child > 0)
        return child;
    struct statx answer;
    for (int i = 0; i < times; i++)
        if (statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &answer) != 0)
            fail(path);
    _exit(0);
}

// Instructions of `tid` until the client has ended. One that repeats itself (rep movsb) is stopped at each time, and
// counts once.
static long steps(pid_t tid, pid_t client)
{
    long count = 0, last = 0;
    int status;
    for (;;) {
        pid_t stopped = waitpid(-1, &status, __WALL);
        if (stopped < 0)
            fail("waitpid");
        if (stopped == client && (WIFEXITED(status) || WIFSIGNALED(status))) {
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                exit(1);
            return count;
        }
        if (stopped != tid)
            continue;
        if (!WIFSTOPPED(status)) {
            fprintf(stderr, "steps: the thread has ended\n");
            exit(1);
        }
        int signal = WSTOPSIG(status);
        long at = ptrace(PTRACE_PEEKUSER, tid, offsetof(struct user_regs_struct, rip), 0);
        count += signal == SIGTRAP && at != last;
        last = at;
        if (trace)
            fprintf(trace, "%lx\n", at);
        if (ptrace(PTRACE_SINGLESTEP, tid, 0, signal == SIGTRAP ? 0 : signal) != 0)
            fail("PTRACE_SINGLESTEP");
    }
}

// Lets the thread go on without stepping; left to the end of this process it would keep doing so, and die of it. The trap
// of the step that it is in may come after the stop that is asked for, so that goes by before it is stopped for good.
static void let_go(pid_t tid)
{
    int status = 0;
    if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) != 0)
        fail("PTRACE_INTERRUPT");
    for (int look = 0; look < 200; look++) {
        if (waitpid(tid, &status, __WALL | WNOHANG) == tid && ptrace(PTRACE_CONT, tid, 0, 0) != 0)
            fail("PTRACE_CONT");
        usleep(1000);
    }
    if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) != 0 || waitpid(tid, &status, __WALL) != tid)
        fail("PTRACE_INTERRUPT");
    if (ptrace(PTRACE_DETACH, tid, 0, 0) != 0)
        fail("PTRACE_DETACH");
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: steps TID PATH CPU\n");
        return 2;
    }
    pid_t tid = atoi(argv[1]);
    int cpu = atoi(argv[3]);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fail("sched_setaffinity");
    if (ptrace(PTRACE_SEIZE, tid, 0, 0) != 0 || ptrace(PTRACE_INTERRUPT, tid, 0, 0) != 0)
        fail("ptrace");
    steps(tid, ask(argv[2], 10));
    if (getenv("TRACE") && !(trace = fopen(getenv("TRACE"), "w")))
        fail(getenv("TRACE"));
    long few = steps(tid, ask(argv[2], 50));
    if (trace)
        fclose(trace);
    trace = NULL;
    long many = steps(tid, ask(argv[2], 150));
    let_go(tid);
    printf("%.1f\n", (double)(many - few) / 100);
    return 0;
}
