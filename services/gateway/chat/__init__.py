"""`POST /api/chat`: a question in any of its clients' shapes -> a turn -> its answer in the form they asked for"""
