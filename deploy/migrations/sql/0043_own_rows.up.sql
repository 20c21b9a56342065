-- What names one user is theirs to read, for their export: who of the administrators read them, which messages of theirs could
-- not be processed, and which links signed them in. An erasure that is not done yet hides it, as everything.
SELECT tripthread.hide_deleted('chat.conversation_reads', 'occurred_at', 'NULL'),
    tripthread.hide_deleted('chat.dead_letters', 'received_at', 'NULL');
ALTER POLICY reader ON gateway.login_links USING (user_id = ANY (tripthread.user_ids()));
