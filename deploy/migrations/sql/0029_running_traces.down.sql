DROP INDEX chat.traces_running;
