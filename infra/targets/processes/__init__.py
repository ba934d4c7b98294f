"""Target `processes`: servers as ordinary processes of this machine, from any ServerSpec. No product is named here."""
