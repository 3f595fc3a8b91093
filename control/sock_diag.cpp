#include "control/sock_diag.hpp"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include <algorithm>
#include <new>

#include "control/netlink.hpp"

namespace pasta::control {

namespace {

void check(int error) {
    if (error < 0) throw NetlinkError("cannot list sockets", error);
}

struct FreeMessage {
    void operator()(nl_msg* message) const { nlmsg_free(message); }
};

/// Called by libnl for each message of a dump, whose header it has checked.
int on_socket(nl_msg* message, void* each) {
    nlmsghdr* header = nlmsg_hdr(message);
    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        !nlmsg_valid_hdr(header, sizeof(inet_diag_msg)))
        return NL_SKIP;
    (*static_cast<const SockDiag::Each*>(each))(
        *static_cast<const inet_diag_msg*>(nlmsg_data(header)));
    return NL_OK;
}

}  // namespace

void SockDiag::Close::operator()(nl_sock* socket) const {
    nl_socket_free(socket);
}

SockDiag::SockDiag(const Netns& netns) : socket_(nl_socket_alloc()) {
    if (!socket_) throw std::bad_alloc();
    check(run_in_netns(netns, [&] { return nl_connect(socket_.get(), NETLINK_SOCK_DIAG); }));
}

void SockDiag::dump(uint8_t protocol, uint32_t states, const Each& each) {
    check(nl_socket_modify_cb(socket_.get(), NL_CB_VALID, NL_CB_CUSTOM, on_socket,
                              const_cast<Each*>(&each)));
    for (const uint8_t family : {AF_INET, AF_INET6}) {
        inet_diag_req_v2 request{};
        request.sdiag_family = family;
        request.sdiag_protocol = protocol;
        request.idiag_states = states;
        const std::unique_ptr<nl_msg, FreeMessage> message(
            nlmsg_alloc_simple(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP));
        if (!message) throw std::bad_alloc();
        check(nlmsg_append(message.get(), &request, sizeof request, NLMSG_ALIGNTO));
        check(nl_send_auto(socket_.get(), message.get()));
        check(nl_recvmsgs_default(socket_.get()));
    }
}

std::vector<uint16_t> SockDiag::listening(uint8_t protocol) {
    // An unconnected UDP socket is in the state that it was born in.
    const int state = protocol == IPPROTO_TCP ? TCP_LISTEN : TCP_CLOSE;
    std::vector<uint16_t> ports;
    dump(protocol, 1U << state,
         [&](const inet_diag_msg& socket) { ports.push_back(ntohs(socket.id.idiag_sport)); });
    std::ranges::sort(ports);
    const auto again = std::ranges::unique(ports);
    ports.erase(again.begin(), again.end());
    return ports;
}

}  // namespace pasta::control
