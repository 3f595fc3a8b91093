"""The throughput lab: measures pasta-xdp beside other ways to connect a namespace."""
