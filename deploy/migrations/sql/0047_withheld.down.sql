DROP INDEX chat.messages_by_turn;
DROP TABLE gateway.withheld_responses;
