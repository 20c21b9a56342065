-- gateway.turns: a claim is known by a nonce of its own.
ALTER TABLE gateway.turns
    ADD COLUMN nonce uuid;  -- of the claim, two of which may be of one turn and one request; none: an older gateway's
