DROP FUNCTION chat.search_sessions(text, text[], text[], integer, integer);
DROP INDEX chat.messages_by_change;
DROP TABLE chat.search_progress, chat.search;
