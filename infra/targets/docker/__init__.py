"""Target `docker`: servers in containers, from any ServerSpec. No product is named here.

The network, volumes, images and containers themselves are resources of pulumi-docker. What it cannot do stands here: the
pinned image, files written through the engine's API, data initialised before the server, limits and states of a
container that runs, and the proof that its server is alive.
"""
