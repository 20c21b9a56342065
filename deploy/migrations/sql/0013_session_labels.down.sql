DROP TABLE chat.session_labels;
