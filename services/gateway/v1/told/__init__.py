"""Tell a client of OpenAI's of its turn, by chat completions or as a response, as it comes or whole"""
