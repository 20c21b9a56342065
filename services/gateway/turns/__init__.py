"""A turn's life: claim, answer, finish, tell; `gateway.turns` is its row"""
