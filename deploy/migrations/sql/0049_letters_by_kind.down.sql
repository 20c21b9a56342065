DROP INDEX chat.dead_letters_by_state, chat.dead_letters_by_reason;
