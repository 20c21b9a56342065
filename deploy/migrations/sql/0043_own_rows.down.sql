ALTER POLICY reader ON gateway.login_links USING (false);
ALTER POLICY reader ON chat.dead_letters USING (false);
ALTER POLICY reader ON chat.conversation_reads USING (false);
