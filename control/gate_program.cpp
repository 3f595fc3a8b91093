#include "control/gate_program.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "bpf/gate_maps.h"  // before the skeleton, which uses its types

#include "bpf/gate.skel.h"

namespace pasta::control {

namespace {

/// Without what libbpf has to say about a failure, which is many lines.
gate_bpf* open_and_load() {
    const libbpf_print_fn_t print = libbpf_set_print(nullptr);
    gate_bpf* const programs = gate_bpf__open_and_load();
    const int error = errno;
    libbpf_set_print(print);
    errno = error;
    return programs;
}

// The programs write into the same words.
uint32_t value_of(uint32_t& word) {
    return std::atomic_ref(word).load();
}
void set(uint32_t& word, uint32_t value) {
    std::atomic_ref(word).store(value);
}

}  // namespace

const uint32_t GateProgram::slots = GATE_SLOTS;

void GateProgram::Unload::operator()(gate_bpf* programs) const {
    gate_bpf__destroy(programs);
}
void GateProgram::Unload::operator()(ring_buffer* notes) const {
    ring_buffer__free(notes);
}

GateProgram::GateProgram() : programs_(open_and_load()) {
    if (!programs_ || gate_bpf__attach(programs_.get()) != 0)
        throw std::system_error(errno, std::generic_category(), "cannot load BPF programs");
    const auto on_note = [](void* self, void* data, size_t size) {
        uint32_t slot = slots;
        if (size == sizeof slot) std::memcpy(&slot, data, sizeof slot);
        if (slot < slots) (*static_cast<GateProgram*>(self)->each_)(slot);
        return 0;
    };
    notes_.reset(ring_buffer__new(bpf_map__fd(programs_->maps.notes), on_note, this, nullptr));
    if (!notes_) throw std::system_error(errno, std::generic_category(), "cannot read BPF notes");
}

GateProgram::~GateProgram() = default;

bool GateProgram::assign(uint32_t slot, uint64_t netns, uint16_t port) {
    const gate_target target{netns, port, 0};
    programs_->bss->slots[slot] = {.listens = 1, .closed_at = 0, .told = 0, .refused = 0};
    return bpf_map__update_elem(programs_->maps.targets, &target, sizeof target, &slot, sizeof slot,
                                BPF_ANY) == 0;
}

void GateProgram::release(uint64_t netns, uint16_t port) {
    const gate_target target{netns, port, 0};
    bpf_map__delete_elem(programs_->maps.targets, &target, sizeof target, 0);
}

bool GateProgram::guard(int socket, uint64_t cookie, uint32_t slot) {
    const int program = bpf_program__fd(programs_->progs.gate);
    return bpf_map__update_elem(programs_->maps.listeners, &cookie, sizeof cookie, &slot,
                                sizeof slot, BPF_ANY) == 0 &&
           setsockopt(socket, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program, sizeof program) == 0;
}

void GateProgram::forget(uint64_t cookie) {
    bpf_map__delete_elem(programs_->maps.listeners, &cookie, sizeof cookie, 0);
}

uint32_t GateProgram::listens(uint32_t slot) const {
    return value_of(programs_->bss->slots[slot].listens);
}

void GateProgram::close(uint32_t slot, uint32_t listens) {
    set(programs_->bss->slots[slot].closed_at, listens);
}

void GateProgram::open(uint32_t slot) {
    // What it will not be again.
    set(programs_->bss->slots[slot].closed_at, listens(slot) - 1);
}

uint32_t GateProgram::refused(uint32_t slot) const {
    return value_of(programs_->bss->slots[slot].refused);
}

int GateProgram::fd() const {
    return ring_buffer__epoll_fd(notes_.get());
}

void GateProgram::read_notes(const std::function<void(uint32_t slot)>& each) {
    each_ = &each;
    ring_buffer__consume(notes_.get());
    each_ = nullptr;
}

void GateProgram::hear_again(uint32_t slot) {
    set(programs_->bss->slots[slot].told, 0);
}

}  // namespace pasta::control
