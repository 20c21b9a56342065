-- Dead letters of one state or reason, for administrators: a few among very many are found without a look at the others.
CREATE INDEX dead_letters_by_state ON chat.dead_letters (state, received_at DESC, dead_letter_id DESC);
CREATE INDEX dead_letters_by_reason ON chat.dead_letters (reason, received_at DESC, dead_letter_id DESC);
