DROP TABLE gateway.browser_sessions;
DROP INDEX gateway.login_links_by_end;
