#include "control/spawned_command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "control/system.hpp"

namespace pasta::control {

namespace {

constexpr int grace_period_ms = 2000;

[[noreturn]] void fail(int error, const std::string& what) {
    throw std::system_error(error, std::generic_category(), what);
}

/// In the child. Zero or an errno.
int enter_new_namespaces() {
    if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) != 0) return errno;
    // What is mounted here must not show outside.
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
    // /sys shows the namespace it was mounted in. In a container that forbids the mount the
    // command still has its network; only /sys/class/net is then the host's.
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
    const int range = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY | O_CLOEXEC);
    if (range >= 0) {
        static constexpr char everyone[] = "0 2147483647";
        [[maybe_unused]] const ssize_t n = write(range, everyone, sizeof(everyone) - 1);
        close(range);
    }
    return 0;
}

/// The command must not inherit the signal handling of a daemon.
void reset_signals() {
    for (int number = 1; number < NSIG; ++number)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::array<io::UniqueFd, 2> make_pipe() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) fail(errno, "cannot create a pipe");
    return {io::UniqueFd(fds[0]), io::UniqueFd(fds[1])};
}

/// Reads one int that the child reported; nothing at end of file.
std::optional<int> read_report(int fd) {
    int value = 0;
    ssize_t n;
    do
        n = read(fd, &value, sizeof(value));
    while (n < 0 && errno == EINTR);
    if (n != sizeof(value)) return std::nullopt;
    return value;
}

int status_code(const siginfo_t& info) {
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace

SpawnedCommand::SpawnedCommand(std::vector<std::string> arguments)
    : arguments_(std::move(arguments)) {
    for (std::string& argument : arguments_)
        argv_.push_back(argument.data());
    argv_.push_back(nullptr);
    auto [release_read, release_write] = make_pipe();
    auto [report_read, report_write] = make_pipe();
    pid_ = fork();
    if (pid_ < 0) fail(errno, "cannot fork");
    if (pid_ == 0) {
        release_write.reset();  // so that the parent's end is the only one
        run_child(release_read.get(), report_write.get());
    }
    release_ = std::move(release_write);
    report_ = std::move(report_read);
    report_write.reset();
    pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    try {
        if (!pidfd_) fail(errno, "cannot watch the command");
        await_namespaces();
    } catch (...) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        throw;
    }
}

void SpawnedCommand::await_namespaces() {
    const std::optional<int> error = read_report(report_.get());
    if (!error) fail(ECHILD, "the command's process ended early");
    if (*error != 0) fail(*error, "cannot create namespaces for the command");
}

/// Like all that it calls, async-signal-safe: other threads of the parent may have held any lock.
void SpawnedCommand::run_child(int release_fd, int report_fd) {
    reset_signals();
    restore_descriptor_limit();
    int error = enter_new_namespaces();
    char go = 0;
    if (write(report_fd, &error, sizeof(error)) != sizeof(error) || error != 0) _exit(126);
    // End of file: the parent gave up or died.
    if (read(release_fd, &go, 1) != 1) _exit(126);
    execvp(argv_[0], argv_.data());
    error = errno;
    [[maybe_unused]] const ssize_t n = write(report_fd, &error, sizeof(error));
    _exit(127);
}

void SpawnedCommand::release() {
    const char go = 1;
    if (write(release_.get(), &go, 1) != 1) fail(errno, "cannot start " + arguments_[0]);
    release_.reset();
    // Closed by a successful exec.
    if (const std::optional<int> error = read_report(report_.get()))
        fail(*error, "cannot execute " + arguments_[0]);
    report_.reset();
}

std::optional<int> SpawnedCommand::exit_status() {
    siginfo_t info{};
    if (!status_ && waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) == 0 &&
        info.si_pid == pid_)
        status_ = status_code(info);
    return status_;
}

int SpawnedCommand::wait() {
    while (!exit_status()) {
        pollfd ended{pidfd_.get(), POLLIN, 0};
        poll(&ended, 1, -1);
    }
    return *status_;
}

SpawnedCommand::~SpawnedCommand() {
    if (exit_status()) return;
    release_.reset();
    kill(pid_, SIGTERM);
    kill(pid_, SIGHUP);  // an interactive shell ignores SIGTERM
    kill(pid_, SIGCONT);
    pollfd ended{pidfd_.get(), POLLIN, 0};
    if (poll(&ended, 1, grace_period_ms) != 1) kill(pid_, SIGKILL);
    wait();
}

}  // namespace pasta::control
