#include "dataplane/splice/pipe_pool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace pasta::splice {
namespace {

void close_pipe(const Pipe& pipe) {
    close(pipe.read_end);
    close(pipe.write_end);
}

}  // namespace

PipePool::~PipePool() {
    for (const Pipe& pipe : spare_)
        close_pipe(pipe);
}

Pipe PipePool::take() {
    Pipe pipe;
    if (!spare_.empty()) {
        pipe = spare_.back();
        spare_.pop_back();
    } else if (taken_ < max_pipes) {
        pipe = make();
    }
    if (pipe) ++taken_;
    return pipe;
}

void PipePool::give(Pipe& pipe, bool empty) {
    --taken_;
    if (empty && spare_.size() < max_spare)
        spare_.push_back(pipe);
    else
        close_pipe(pipe);
    pipe = {};
}

Pipe PipePool::make() const {
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return {};
    const int initial = fcntl(ends[0], F_GETPIPE_SZ);
    int actual = -1;
    for (size_t size = size_; actual < 0 && static_cast<int>(size) > initial; size /= 2)
        actual = fcntl(ends[0], F_SETPIPE_SZ, static_cast<int>(size));
    return {ends[0], ends[1], static_cast<size_t>(actual < 0 ? initial : actual)};
}

}  // namespace pasta::splice
