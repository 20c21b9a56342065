"""How answers are told on every route: problems, in our words and in OpenAI's, and bodies longer than what is held"""
