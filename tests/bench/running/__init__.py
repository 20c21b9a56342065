"""What a benchmark runs, and how it sees what that takes: servers, our services, processor time, statements"""
