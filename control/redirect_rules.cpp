#include "control/redirect_rules.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <unistd.h>

#include <new>

namespace pasta::control {

namespace {

struct FreeMessage {
    void operator()(nl_msg* message) const { nlmsg_free(message); }
};

/// Base chains say where they are hooked in, and of which type they are.
int on_chain(nl_msg* message, void* found) {
    nlmsghdr* const header = nlmsg_hdr(message);
    const nlattr* const hook = nlmsg_find_attr(header, sizeof(nfgenmsg), NFTA_CHAIN_HOOK);
    if (hook == nullptr) return NL_OK;
    const nlattr* const type = nlmsg_find_attr(header, sizeof(nfgenmsg), NFTA_CHAIN_TYPE);
    const bool translates = type != nullptr && nla_strcmp(type, "nat") == 0;
    const nlattr* const number =
        nla_find(static_cast<nlattr*>(nla_data(hook)), nla_len(hook), NFTA_HOOK_HOOKNUM);
    const uint32_t where = number != nullptr && nla_len(number) == sizeof(uint32_t)
                               ? ntohl(nla_get_u32(number))
                               : uint32_t{NF_INET_PRE_ROUTING};
    // Ingress of a device has the number that prerouting has.
    if (translates || where == NF_INET_PRE_ROUTING || where == NF_INET_INGRESS)
        *static_cast<bool*>(found) = true;
    return NL_OK;
}

bool has_text(const io::UniqueFd& file) {
    char byte;
    return file && pread(file.get(), &byte, 1, 0) > 0;
}

}  // namespace

void RedirectRules::Close::operator()(nl_sock* socket) const {
    nl_socket_free(socket);
}

RedirectRules::RedirectRules(const Netns& netns) : nftables_(nl_socket_alloc()) {
    if (!nftables_) throw std::bad_alloc();
    run_in_netns(netns, [&] {
        // A kernel without netfilter has no rules.
        if (nl_connect(nftables_.get(), NETLINK_NETFILTER) < 0) nftables_.reset();
        tables4_.reset(open("/proc/thread-self/net/ip_tables_names", O_RDONLY | O_CLOEXEC));
        tables6_.reset(open("/proc/thread-self/net/ip6_tables_names", O_RDONLY | O_CLOEXEC));
    });
}

bool RedirectRules::possible() {
    return has_text(tables4_) || has_text(tables6_) || has_nftables_chain();
}

bool RedirectRules::has_nftables_chain() {
    if (!nftables_) return false;
    bool found = false;
    nl_socket_modify_cb(nftables_.get(), NL_CB_VALID, NL_CB_CUSTOM, on_chain, &found);
    const std::unique_ptr<nl_msg, FreeMessage> message(
        nlmsg_alloc_simple(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP));
    if (!message) throw std::bad_alloc();
    nfgenmsg request{AF_UNSPEC, NFNETLINK_V0, 0};
    int error = nlmsg_append(message.get(), &request, sizeof request, NLMSG_ALIGNTO);
    if (error >= 0) error = nl_send_auto(nftables_.get(), message.get());
    if (error >= 0) error = nl_recvmsgs_default(nftables_.get());
    // A kernel without nftables does not know the message.
    return found || (error < 0 && error != -NLE_INVAL && error != -NLE_OPNOTSUPP);
}

}  // namespace pasta::control
