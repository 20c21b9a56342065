"""Stand-ins for what is outside: a collector, an identity provider, a mail server, a wire"""
