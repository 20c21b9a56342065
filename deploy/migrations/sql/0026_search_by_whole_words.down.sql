DROP FUNCTION chat.search_everywhere;
